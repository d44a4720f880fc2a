"""What every transport of the stream serves, and its limits."""

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
METHOD = "Process"
LONGEST = 4 * 1024 * 1024
"""Bytes of a message, gRPC's usual limit: more than Envoy buffers of a body."""
STREAMS = 10_000
"""At a time on one connection."""
