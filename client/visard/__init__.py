"""Face matching where nobody sees the face: the client.

    async with visard.Client(visard.Connection.from_home(Path(".visard"))) as client:
        await client.enrol("obama", ["obama.jpg"])
        assert (await client.verify("obama", "obama2.jpg")).match

Names are loaded when they are used: a program that only asks for its errors waits for no image library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from visard_wire.version import __version__

if TYPE_CHECKING:
    from visard.capture import Chip, capture
    from visard.client import Client, Connection
    from visard.errors import CaptureError, RequestError, ServiceError, TrustError, VisardError
    from visard.results import Enrolment, Identification, Report, Verification
    from visard.sync import SyncClient

_HOMES = {
    "CaptureError": "errors",
    "Chip": "capture",
    "Client": "client",
    "Connection": "client",
    "Enrolment": "results",
    "Identification": "results",
    "Report": "results",
    "RequestError": "errors",
    "ServiceError": "errors",
    "SyncClient": "sync",
    "TrustError": "errors",
    "Verification": "results",
    "VisardError": "errors",
    "capture": "capture",
}

__all__ = [
    "CaptureError",
    "Chip",
    "Client",
    "Connection",
    "Enrolment",
    "Identification",
    "Report",
    "RequestError",
    "ServiceError",
    "SyncClient",
    "TrustError",
    "Verification",
    "VisardError",
    "__version__",
    "capture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"visard.{_HOMES[name]}"), name)
