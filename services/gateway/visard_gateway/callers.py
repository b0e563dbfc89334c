"""Who calls the gateway. The roles that may call a method are one table for gateway and parties (visard_common.roles)."""

from typing import Any

import grpc
from visard_common.identity import Role, require
from visard_common.roles import kinds_for

Context = grpc.aio.ServicerContext[Any, Any]


def caller_of(context: Context, method: str) -> Role:
    """Who calls a method, if the role may; raises PermissionDenied."""
    return require(context, *kinds_for(method))
