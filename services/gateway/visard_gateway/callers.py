"""Who calls the gateway. The roles that may call a method are one table for gateway and parties (visard_common.roles)."""

from typing import Any

import grpc
from visard_common.errors import InvalidArgument
from visard_common.identity import Role, require
from visard_common.roles import kinds_for
from visard_wire.v1 import gateway_pb2

Context = grpc.aio.ServicerContext[Any, Any]
List = gateway_pb2.ListSubjectsRequest | gateway_pb2.ListReferencesRequest | gateway_pb2.ListGalleriesRequest


def caller_of(context: Context, method: str) -> Role:
    """Who calls a method, if the role may; raises PermissionDenied."""
    return require(context, *kinds_for(method))


def asking(request: List, caller: Role) -> str:
    """Who asks for a list, as the parties are told; raises InvalidArgument where a caller says so itself."""
    if request.caller:
        raise InvalidArgument.of("caller", "empty: the gateway says who asks")
    return str(caller)
