"""What tests of a party share."""

from pathlib import Path

import pytest
from visard import certs


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a deployment."""
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory
