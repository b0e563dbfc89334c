"""Configuration of the dealer."""

import os
from pathlib import Path

from pydantic import Field
from visard_common.config import ServiceConfig
from visard_common.files import write_durably

MASTER_KEY_BYTES = 32


class DealerConfig(ServiceConfig):
    """The dealer's settings."""

    master_key: Path = Field(description="file of 32 secret bytes; made when missing")
    cache_mb: int = Field(default=256, ge=1, le=65536, description="recently dealt kits kept for the other parties")
    nice: int = Field(default=10, ge=0, le=19, description="how far the dealer steps back for others on its machine")


def master_key(path: Path) -> bytes:
    """The dealer's master secret, made on first use; raises ValueError when the file is not one."""
    if not path.exists():
        write_durably(path, os.urandom(MASTER_KEY_BYTES))  # a key that is lost makes the parties' stocks worthless
    key = path.read_bytes()
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"{path}: {MASTER_KEY_BYTES} bytes expected")
    return key
