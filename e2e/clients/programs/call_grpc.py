"""One unary call and one that streams both ways, over one channel."""

import sys

import grpc

with grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials()) as channel:
    once = channel.unary_unary("/echo.Echo/Once", request_serializer=str.encode, response_deserializer=bytes.decode)
    print(once("ahoy", timeout=20))
    both = channel.stream_stream("/echo.Echo/Both", request_serializer=str.encode, response_deserializer=bytes.decode)
    print(*both(iter(["one", "two", "three"]), timeout=20))
    try:
        channel.unary_unary("/forbidden.Echo/Once", request_serializer=str.encode, response_deserializer=bytes.decode)("no", timeout=20)
    except grpc.RpcError as error:
        print(error.code())
