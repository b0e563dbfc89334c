"""Addresses in configurations: host:port."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

PATTERN = r"^.+:\d{1,5}$"
Address = Annotated[str, Field(pattern=PATTERN)]


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts; brackets of an IPv6 address are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class CannotListen(Exception):
    """An address to serve at cannot be had: the operator names another one, or ends who has it."""


@contextmanager
def listening(address: str) -> Iterator[None]:
    """Whatever fails in the block, which opens a port, as CannotListen: gRPC and sockets each say it in a way of their own."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        why = "another program does, or it is no address of this machine"
        raise CannotListen(f"cannot listen on {address}: {why}") from error
