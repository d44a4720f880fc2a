"""The process beside Envoy that decides, request by request, what Envoy cannot decide alone.

Events in, effects out: `stream` is a machine without I/O, `snapshot` what it decides by, `edge` the only place that knows
protobuf and gRPC, `feed` what makes snapshots (informers of a cluster, or a directory), `providers` who issue credentials,
`audit` who is told. The meaning of rules is not here but in `policy`, whose walk every request takes.
"""
