"""A type for secrets: it shows its size and nothing else."""

import hmac
from typing import NoReturn


class Secret:
    """Secret bytes. They leave only through ``reveal``; printing, logging and pickling show or do nothing useful."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes. Call it where they are used, not before."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is no key of a dictionary")

    def __repr__(self) -> str:
        return f"<Secret: {len(self._value)} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
