"""Files that are there as a whole, also after the power has failed."""

import os
from pathlib import Path


def write_durably(path: Path, *parts: bytes | bytearray | memoryview) -> None:
    """Put a file in place as a whole, readable by this user only."""
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
