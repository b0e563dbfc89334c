"""One authority for all tests of the gateway."""

from pathlib import Path

import pytest
from visard import certs


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of certificates."""
    path = tmp_path_factory.mktemp("gateway") / "certs"
    certs.init(path)
    return path
