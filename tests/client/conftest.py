"""What tests of the client share."""

from pathlib import Path

import pytest
from visard import certs


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a deployment."""
    path = tmp_path_factory.mktemp("client") / "certs"
    certs.init(path)
    return path
