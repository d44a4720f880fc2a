"""Where protobuf and gRPC are known, and nothing else is: messages ⇄ events, a stream's driver, and the servers.

The transport is one seam: a server gives the driver an iterator of serialised `ProcessingRequest`s and sends what comes
back. grpcio is the reference; h2corn carries more on one processor.
"""
