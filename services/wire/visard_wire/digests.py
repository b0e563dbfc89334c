"""Hashes over several parts, each preceded by its length: no two lists of parts are hashed alike.

A length is four bytes, big-endian. What differs from one use to the next is the label in front, which says what is hashed.
"""

import hashlib
from collections.abc import Iterable


def sized(part: bytes) -> bytes:
    """A part behind its length, as it goes into a hash."""
    return len(part).to_bytes(4, "big") + part


def of_parts(label: bytes, parts: Iterable[bytes]) -> bytes:
    """SHA-256 over a label and parts, each with its length: 32 bytes. A label with fields of fixed size behind it is one, too."""
    hasher = hashlib.sha256(label)
    for part in parts:
        hasher.update(sized(part))
    return hasher.digest()


def of_row_table(subjects: Iterable[str]) -> bytes:
    """The digest of the subjects of a gallery's rows, in order: all parties send it with the answer to an identification."""
    return of_parts(b"visard row table v1", (subject.encode() for subject in subjects))
