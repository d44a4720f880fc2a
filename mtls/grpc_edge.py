"""The edge of a grpcio server: credentials that follow the files, and the identity of whoever calls.

grpcio verifies a client's chain in the handshake and can verify nothing else there, so who the client is, is asked for each call: from its
connection, whose certificate is told with the call. That covers resumed sessions, and certificates that end while a connection lasts.
Handlers learn the caller's id by `caller`. No other room of `mtls` may import grpc.

grpcio's binding knows no lowest version of TLS: where both sides can, it is 1.3; Envoy is told to take nothing else.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
from grpc import aio

from mtls.callers import Callers
from mtls.identity import IdentityError
from mtls.keeper import Keeper, require_authorities
from mtls.material import Material
from mtls.spiffe import Peers, SpiffeId

_caller: ContextVar[SpiffeId | None] = ContextVar("caller", default=None)


def caller() -> SpiffeId | None:
    """Who makes the call that is being handled; None where no interceptor has asked."""
    return _caller.get()


def server_credentials(keeper: Keeper) -> grpc.ServerCredentials:
    """New connections are given what the keeper then holds."""
    require_authorities(keeper)
    given = keeper.current
    version = given.version

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal version
        current = keeper.current
        if current.version == version:
            return None
        version = current.version
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(_configuration(given), fetch, require_client_authentication=True)


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    pairs = [(material.key_pem, material.certificate_pem)]
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=material.authorities_pem)


class SpiffeInterceptor(aio.ServerInterceptor):  # type: ignore[misc] # grpcio has no types
    """Calls by anybody else than `peers` end with PERMISSION_DENIED, before their handler has seen anything of them."""

    def __init__(self, keeper: Keeper, peers: Peers) -> None:
        self._callers = Callers(keeper, peers)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        return handler and _wrapped(handler, self._admit)

    async def _admit(self, context: Any) -> None:
        try:
            found = self._callers.identify(next(iter(context.auth_context().get("x509_pem_cert") or ()), None))
        except IdentityError:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the caller's certificate is not one that may call here")
            raise
        _caller.set(found)


def _wrapped(handler: Any, admit: Callable[[Any], Awaitable[None]]) -> Any:
    """The same handler, of the same kind, behind `admit`."""
    kind = ("stream" if handler.request_streaming else "unary") + "_" + ("stream" if handler.response_streaming else "unary")
    behaviour = _guarded(getattr(handler, kind), admit)
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer)


def _guarded(behaviour: Callable[..., Any], admit: Callable[[Any], Awaitable[None]]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(behaviour):

        async def yielding(request: Any, context: Any) -> AsyncIterator[Any]:
            await admit(context)
            async for response in behaviour(request, context):
                yield response

        return yielding
    if inspect.iscoroutinefunction(behaviour):

        async def returning(request: Any, context: Any) -> Any:
            await admit(context)
            return await behaviour(request, context)

        return returning
    raise TypeError("a handler of this server is not asynchronous, so nobody could be admitted to it")
