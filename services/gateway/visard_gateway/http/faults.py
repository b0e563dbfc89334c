"""Statuses as connectrpc writes them, and messages as protobuf reads them."""

from typing import Any, Never

import grpc
from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from protobuf import wkt
from visard_common.errors import FAULTS, Internal, InvalidArgument, ServiceFault, cut

_CODES = {code.name: code for code in Code} | {"CANCELLED": Code.CANCELED}
_DETAILS = {
    f"type.googleapis.com/{kind.DESCRIPTOR.full_name}": kind
    for kind in (error_details_pb2.BadRequest, error_details_pb2.RetryInfo, error_details_pb2.ErrorInfo)
}
MAX_VALUES = 20_000  # of one message in JSON: each costs us more than the bytes that it comes in


class Ended(grpc.aio.AbortError):
    """A call was ended with a status. ``trailing``: of gRPC, the details among it."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes) -> None:
        super().__init__(message)
        self.error = ConnectError(_CODES[code.name], message, _details(details))


def _details(status: bytes) -> list[ErrorDetail]:
    return [_Detail(one) for one in status_pb2.Status.FromString(status).details]


class _Detail(ErrorDetail):
    """One detail, which Connect's JSON also shows in words (its field "debug")."""

    def __init__(self, packed: any_pb2.Any) -> None:
        super().__init__(wkt.Any(type_url=packed.type_url, value=packed.value))
        kind = _DETAILS.get(packed.type_url)
        self._shown = None if kind is None else json_format.MessageToJson(kind.FromString(packed.value))

    def value(self, *_: Any) -> Any:
        """The detail as a struct, for whoever shows it."""
        return None if self._shown is None else wkt.Struct.from_json(self._shown)


def fault_from(error: BaseException) -> ServiceFault:
    """What connectrpc found wrong with a request, as a fault, so that it is counted and told as all others are."""
    if isinstance(error, ServiceFault):
        return error
    if isinstance(error, ConnectError):
        name = "CANCELLED" if error.code is Code.CANCELED else error.code.name
        return FAULTS.get(name, Internal)(error.message)
    return Internal("the request could not be read")


def _wrong(allowed: str) -> Never:
    """Raise what connectrpc passes on as it is. Never what the decoder said: it tells of what was sent."""
    violation = error_details_pb2.BadRequest.FieldViolation(field="message", description=allowed)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    fault = InvalidArgument.of("message", allowed)
    raise ConnectError(Code.INVALID_ARGUMENT, cut(fault.message), [_Detail(packed)])


class Binary:
    """Messages of google.protobuf, as bytes."""

    def name(self) -> str:
        """As in application/proto."""
        return "proto"

    def encode(self, message: Message) -> bytes:
        """The bytes."""
        return message.SerializeToString()

    def decode(self, data: bytes | bytearray, message_class: type[Message]) -> Message:
        """The message; raises ConnectError."""
        try:
            return message_class.FromString(bytes(data))
        except DecodeError:
            _wrong(f"{message_class.DESCRIPTOR.full_name} in protobuf's binary form")


class Json:
    """The same in protobuf's JSON: names in camelCase, bytes in base64, 64-bit numbers in quotes."""

    def name(self) -> str:
        """As in application/json."""
        return "json"

    def encode(self, message: Message) -> bytes:
        """The text; what is 0, false or empty is left out."""
        return json_format.MessageToJson(message, indent=None).encode()

    def decode(self, data: bytes | bytearray, message_class: type[Message]) -> Message:
        """The message; fields that are not known are passed over, as in the binary form. Raises ConnectError."""
        if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
            _wrong(f"JSON of at most {MAX_VALUES} values")
        try:
            return json_format.Parse(bytes(data) or b"{}", message_class(), ignore_unknown_fields=True)
        except (json_format.ParseError, ValueError, RecursionError):
            _wrong(f"{message_class.DESCRIPTOR.full_name} in protobuf's JSON")
