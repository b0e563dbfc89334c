"""The client for browsers enrols, verifies, searches, compares and forgets at a real gateway over HTTP, and no face leaves it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visard import SyncClient
from visard.capture import as_picture, capture, chip_pixels
from visard.cluster import Cluster
from visard.connection import Connection

from tests.conftest import http_address

ROOT = Path(__file__).parents[2]
SUBJECT = "somebody in a browser"
NAME = SUBJECT.replace(" ", "-")
PHOTOS = {"enrolled": "obama", "same": "obama2", "other": "biden"}
RUN = 64  # bytes of a picture that would not be among others by chance


@pytest.fixture
def forgotten(cluster: Cluster) -> Iterator[None]:
    """Whom the script enrols is not enrolled afterwards, whatever became of it."""
    yield
    with SyncClient(Connection.from_home(cluster.home)) as client:
        if any(one.subject == NAME for one in client.subjects()):
            client.delete(NAME)


def asked(cluster: Cluster, photos: dict[str, Path], folder: Path) -> dict[str, Any]:
    """What the script is told: files beside it hold the pictures."""
    certs = cluster.home / "certs"
    pictures = {name: as_picture(photos[photo]) for name, photo in PHOTOS.items()}
    for name, picture in pictures.items():
        (folder / f"{name}.rgb").write_bytes(picture.tobytes())
    return {
        "gateway": http_address(cluster),
        "ca": (certs / "ca.pem").read_text(),
        "cert": (certs / "client.pem").read_text(),
        "key": (certs / "client.key").read_text(),
        "subject": NAME,
        "photos": {name: {"width": one.shape[1], "height": one.shape[0]} for name, one in pictures.items()},
    }


@pytest.mark.usefixtures("forgotten")
def browsers_client__should_be_answered_as_ours_and_send_no_face(
    cluster: Cluster, photos: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "ask.json").write_text(json.dumps(asked(cluster, photos, tmp_path)))
    path = f"{ROOT / '.node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = ROOT / "client" / "web" / "test" / "asking.ts"
    done = subprocess.run(
        ["node", script, tmp_path], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"make test-web installs Node and packages: {done.stderr[-2000:]}"
    answers = json.loads((tmp_path / "answers.json").read_text())
    del answers["seconds"]
    expected = {"references": 1, "same": True, "other": False, "found": NAME, "compared": True, "forgotten": 1}
    assert answers == expected | {"missing": "NotFound"}
    sent = (tmp_path / "sent.bin").read_bytes()
    assert NAME.encode() in sent
    for photo in PHOTOS.values():
        _check_absent(sent, photos[photo])


def _check_absent(sent: bytes, photo: Path) -> None:
    """No run of bytes of the photo, of its chip or of the chip's planes is among what was sent."""
    picture = as_picture(photo)
    chip = chip_pixels(capture(picture), "dlib-150")
    middle = slice(len(chip) // 3, 2 * len(chip) // 3)
    for pixels in (picture, chip, chip.transpose(2, 0, 1), chip.transpose(2, 0, 1).astype(np.uint32)):
        data = np.ascontiguousarray(pixels[..., middle, :] if pixels.ndim == 3 else pixels).tobytes()
        assert all(data[k : k + RUN] not in sent for k in range(0, len(data) - RUN, len(data) // 16))
