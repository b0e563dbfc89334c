"""The services as an OpenAPI document, made of the compiled protos: what Connect's unary calls take and give in JSON. Pure.

What each field may hold is said in the .proto files, whose comments protoc leaves out of what it compiles.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectrpc.code import Code
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from visard_common.roles import kinds_for
from visard_wire.version import __version__

Schema = dict[str, Any]

_ERROR = "connect.Error"
# protobuf's JSON: 64-bit numbers are in quotes, as JavaScript's own are not so long
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "uint32", "minimum": 0},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_SINT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.TYPE_SINT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
}


def document(services: Sequence[ServiceDescriptor]) -> dict[str, Any]:
    """The document for all methods of some services."""
    schemas: dict[str, Schema] = {}
    for service in services:
        for method in service.methods:
            _collect(method.input_type, schemas)
            _collect(method.output_type, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "visard",
            "version": __version__,
            "description": "Face matching where nobody sees the face: what the gateway answers over HTTP.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": service.full_name} for service in services],
        "security": [{"certificate": []}, {"proof": []}],
        "paths": {
            f"/{service.full_name}/{method.name}": {"post": _operation(service, method)}
            for service in services
            for method in service.methods
        },
        "components": {
            "securitySchemes": {
                "certificate": {"type": "mutualTLS", "description": "Its URI names the caller's role."},
                "proof": {
                    "type": "http",
                    "scheme": "Visard",
                    "description": "For who shows no certificate: visard.v1.Proof, signed with its key, in base64url.",
                },
            },
            "schemas": {**schemas, _ERROR: _error()},
        },
    }


def _operation(service: ServiceDescriptor, method: MethodDescriptor) -> Schema:
    asked, answer = _ref(method.input_type), _ref(method.output_type)
    return {
        "operationId": f"{service.name}_{method.name}",
        "tags": [service.full_name],
        "description": f"For the roles {', '.join(kinds_for(method.name))}.{_STREAM if method.client_streaming else ''}",
        "requestBody": {"required": True, "content": _content(asked, stream=method.client_streaming)},
        "responses": {
            "200": {
                "description": method.output_type.name,
                "content": _content(answer, stream=method.client_streaming),
            },
            "default": {"description": "A status", "content": {"application/json": {"schema": _ref_to(_ERROR)}}},
        },
    }


_STREAM = (
    " The whole upload is one request: messages one after the other, each behind a byte 0 and its length in 4 bytes, the"
    " highest first. So is the answer, whose last message, behind a byte 2, is the status in JSON."
)


def _content(schema: Schema, *, stream: bool) -> Schema:
    if stream:
        return {"application/connect+proto": {}, "application/connect+json": {}}
    return {"application/json": {"schema": schema}, "application/proto": {}}


def _collect(message: Descriptor, schemas: dict[str, Schema]) -> None:
    """The schema of a message, and of those that it is made of."""
    if message.full_name in schemas:
        return
    schemas[message.full_name] = {
        "type": "object",
        "properties": {field.json_name: _field(field) for field in message.fields},
    }
    for part in _parts(message.fields):
        if isinstance(part, Descriptor):
            _collect(part, schemas)
        else:
            schemas[part.full_name] = {"type": "string", "enum": [value.name for value in part.values]}


def _parts(fields: Iterable[FieldDescriptor]) -> Iterable[Descriptor | EnumDescriptor]:
    for field in fields:
        if part := field.message_type or field.enum_type:
            yield part


def _field(field: FieldDescriptor) -> Schema:
    part = field.message_type or field.enum_type
    one = _SCALARS[field.type] if part is None else _ref(part)
    if isinstance(part, Descriptor) and part.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _field(part.fields_by_name["value"])}
    return {"type": "array", "items": one} if field.is_repeated else dict(one)


def _ref(part: Descriptor | EnumDescriptor) -> Schema:
    return _ref_to(part.full_name)


def _ref_to(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _error() -> Schema:
    text = {"type": "string"}
    detail = {
        "type": "object",
        "properties": {
            "type": text,
            "value": {"type": "string", "contentEncoding": "base64"},
            "debug": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "properties": {
            "code": {"type": "string", "enum": [code.value for code in Code]},
            "message": text,
            "details": {"type": "array", "items": detail},
        },
        "required": ["code"],
    }
