"""Groyne on Kubernetes: its controller, its manifests and its rights, on a real API server. `conftest` says on which."""
