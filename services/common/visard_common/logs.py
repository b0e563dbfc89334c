"""Structured logs: one JSON object a line on standard error. Secrets cannot be logged: their type shows a size."""

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import structlog
from visard_wire.limits import REQUEST_ID_BYTES


def configure(service: str, level: str) -> None:
    """Set up logging for a process."""
    # libraries: warnings and worse only
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            partial(_of_service, service),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_sizes,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def about(request_id: bytes) -> None:
    """From here on the lines of this call name its request."""
    structlog.contextvars.bind_contextvars(
        request=request_id[:REQUEST_ID_BYTES].hex()
    )  # as long as a caller likes, until it is checked


def _of_service(service: str, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Every line names its service, whatever task it comes from."""
    event["service"] = service
    return event


def _only_sizes(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Raw bytes and arrays may be shares or keys: whatever is binary is shown by its size."""
    for key, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[key] = f"<{len(value)} bytes>"
        elif hasattr(value, "dtype"):
            event[key] = f"<array of {value.size}>"
    return event
