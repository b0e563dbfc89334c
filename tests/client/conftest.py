"""What tests of the client share."""

from pathlib import Path

import pytest
from visard import certs

from tests import photos


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a deployment."""
    path = tmp_path_factory.mktemp("client") / "certs"
    certs.init(path)
    return path


@pytest.fixture
def people(tmp_path: Path, shared: Path) -> Path:
    """A folder with a folder a subject: photos.PEOPLE."""
    return photos.folder_of_people(shared, tmp_path / "people")


@pytest.fixture
def group(tmp_path: Path, shared: Path) -> Path:
    """One photo of all of them."""
    return photos.group(shared, tmp_path / "group.png")
