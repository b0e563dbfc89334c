"""Addresses in configurations: host:port."""

from typing import Annotated

from pydantic import Field

PATTERN = r"^.+:\d{1,5}$"
Address = Annotated[str, Field(pattern=PATTERN)]


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts; brackets of an IPv6 address are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
