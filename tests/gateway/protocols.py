"""One caller for each protocol that the gateway speaks: the same calls, and the same faults out of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
from connectrpc.client import ConnectClient
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from pyqwest import Client, HTTPTransport, HTTPVersion
from visard_common.errors import FAULTS, ServiceFault
from visard_common.rpc import fault_of
from visard_common.tls import CHANNEL_OPTIONS
from visard_wire.v1 import gateway_pb2

from tests.gateway.harness import House

PROTOCOLS = ("grpc", "grpc-web", "connect", "connect+json")
# the same in HTTP/1.1, which needs a way of its own through hypercorn
EVERY = (*PROTOCOLS, "connect+json over HTTP/1.1")


def method_of(name: str) -> MethodDescriptor:
    """A method of the gateway, as in "FaceMatching/Verify"."""
    service, _, method = name.partition("/")
    found: MethodDescriptor = gateway_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[method]
    return found


class Callers:
    """Calls the gateway of a house by one protocol, as any role."""

    def __init__(self, house: House, protocol: str) -> None:
        self.house = house
        self.protocol = protocol
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Callers":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def call(self, name: str, asked: Any, role: str = "client", seconds: float = 120.0) -> Any:
        """The answer to one message, or to an upload's, of which there is an iterator; raises ServiceFault."""
        if self.protocol == "grpc":
            return await self._by_grpc(name, asked, role, seconds)
        return await self._by_http(name, asked, role, seconds)

    async def _by_grpc(self, name: str, asked: Any, role: str, seconds: float) -> Any:
        method = method_of(name)
        tls = self.house.tls(role)
        ca, key, cert = (path.read_bytes() for path in (*tls.authorities, tls.key, tls.cert))
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        async with grpc.aio.secure_channel(self.house.address, credentials, options=CHANNEL_OPTIONS) as channel:
            make = channel.stream_unary if method.client_streaming else channel.unary_unary
            stub = make(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            try:
                return await stub(asked, timeout=seconds)
            except grpc.aio.AioRpcError as error:
                fault = fault_of(error, "the gateway")
                fault.message = error.details() or ""
                raise fault from error

    async def _by_http(self, name: str, asked: Any, role: str, seconds: float) -> Any:
        json, old = "json" in self.protocol, "HTTP/1.1" in self.protocol
        tls = self.house.tls(role)
        transport = HTTPTransport(
            tls_ca_cert=tls.authorities[0].read_bytes(),
            tls_key=tls.key.read_bytes(),
            tls_cert=tls.cert.read_bytes(),
            http_version=HTTPVersion.HTTP1 if old else HTTPVersion.HTTP2,
        )
        web = self.protocol == "grpc-web"
        client = ConnectClient(
            self.house.http,
            codec=google_protobuf_json_codec() if json else google_protobuf_binary_codec(),
            protocol=ProtocolType.GRPC_WEB if web else ProtocolType.CONNECT,
            accept_compression=(),
            send_compression=None,
            http_client=Client(transport),
        )
        # the deadline is told, and kept by the gateway alone
        milliseconds = int(seconds * 1000)
        told = {"grpc-timeout": f"{milliseconds}m"} if web else {"connect-timeout-ms": str(milliseconds)}
        method = method_of(name)
        try:
            async with transport:
                if method.client_streaming:
                    return await client.execute_client_stream(request=asked, method=_info(method), headers=told)
                return await client.execute_unary(request=asked, method=_info(method), headers=told)
        except ConnectError as error:
            raise _fault(error) from error


def _info(method: MethodDescriptor) -> MethodInfo[Any, Any]:
    return MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.CLIENT_STREAM if method.client_streaming else StreamType.UNARY,
    )


def _fault(error: ConnectError) -> ServiceFault:
    fault = FAULTS.get(error.code.name, ServiceFault)(error.message)
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in error.details:
        packed = Packed(type_url=f"type.googleapis.com/{detail.type_name}", value=detail.message_bytes)
        if packed.Unpack(bad):
            fault.field, fault.allowed = bad.field_violations[0].field, bad.field_violations[0].description
        elif packed.Unpack(retry):
            fault.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return fault


async def sent(messages: Sequence[Message]) -> AsyncIterator[Message]:
    """An upload's messages."""
    for message in messages:
        yield message
