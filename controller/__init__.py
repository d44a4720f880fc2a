"""SandboxTemplate and SecurityProfile become Kubernetes objects. Today: the pure half, `controller.compile`."""
