"""In Chromium, with a camera: somebody is enrolled and recognised at real services, and only sealed shares leave the page."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visard import SyncClient, certs
from visard.capture import Picture, as_picture, capture, chip_pixels
from visard.cluster import Cluster, free_port_base
from visard.connection import Connection
from visard.sharing import combine
from visard_wire.sealing import Context, envelope_size, open_share
from visard_wire.v1 import common_pb2

from tests.conftest import http_address, page_address, sealing_key
from tests.web.browsing import SIZE, filmed, run, told

PEOPLE = {
    "enrolled": "Amanda_Bynes/Amanda_Bynes_0001.jpg",
    "same": "Amanda_Bynes/Amanda_Bynes_0002.jpg",
    "other": "Al_Pacino/Al_Pacino_0001.jpg",
}
SUBJECT = "somebody-before-a-camera"
CHIP, SHAPE = "dlib-150", (3, 150, 150)
MOST_SCRIPT = 150_000  # bytes, gzipped
HEAD = 5  # flags and length of a message
FEW = 6  # grey levels
LEAK = 30e6  # bytes; a photo that is kept each time is ten times as much
RUN = 64  # bytes of a picture that would not be among others by chance


@dataclass(frozen=True)
class Visit:
    """What became of a visit: the answers, what the page saw of who was enrolled, files that it read, all bodies that it sent."""

    answers: Any
    seen: dict[str, bytes]
    read: dict[str, Picture]
    sent: list[tuple[str, bytes]]

    @property
    def enrolment(self) -> list[common_pb2.Upload]:
        """The upload with which somebody was enrolled."""
        (body,) = [body for method, body in self.sent if method.endswith("/Enrol")]
        return messages(body)


@pytest.fixture(scope="module")
def visit(cluster: Cluster, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    folder = tmp_path_factory.mktemp("visit")
    for name, photo in PEOPLE.items():
        filmed(shared / "data" / "lfw-dev" / photo, folder / f"{name}.mjpeg")
    places = page_address(cluster), http_address(cluster)
    files = {name: base64.b64encode(data).decode() for name, data in drawn().items()}
    told(folder, cluster.home / "certs", *places, subject=SUBJECT, chip=CHIP, shape=SHAPE, files=files)
    try:
        answers = run("browsing.ts", folder)
    finally:
        _forget(cluster)
    seen, read, sent = (json.loads((folder / f"{name}.json").read_text()) for name in ("seen", "read", "sent"))
    return Visit(
        answers,
        {name: base64.b64decode(one) for name, one in seen.items()},
        {name: picture(base64.b64decode(one["data"]), one["width"], one["height"]) for name, one in read.items()},
        [(one["method"], base64.b64decode(one["body"])) for one in sent],
    )


def picture(data: bytes, width: int, height: int) -> Picture:
    """RGB as a page has it."""
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def drawn() -> dict[str, bytes]:
    """Files that people may choose: a photo that lies on its side but for what its EXIF says, and one half transparent."""
    slope = np.add.outer(np.arange(48), 2 * np.arange(64))
    levels = np.stack([slope, 200 - slope, np.full_like(slope, 90)], -1).astype(np.uint8)
    upside = Image.Exif()
    upside[0x0112] = 6  # orientation: a quarter turn with the clock
    turned, clear = io.BytesIO(), io.BytesIO()
    Image.fromarray(levels).save(turned, "JPEG", quality=95, subsampling=0, exif=upside)
    alpha = np.full((48, 64, 1), 128, np.uint8)
    Image.fromarray(np.concatenate([levels, alpha], -1)).save(clear, "PNG")
    return {"turned": turned.getvalue(), "clear": clear.getvalue()}


def _forget(cluster: Cluster) -> None:
    """Tests leave no subject, whatever became of them."""
    with SyncClient(Connection.from_home(cluster.home)) as client:
        if any(one.subject == SUBJECT for one in client.subjects()):
            client.delete(SUBJECT)


def messages(body: bytes) -> list[common_pb2.Upload]:
    """Those of an upload, which is nothing else."""
    found = []
    while body:
        end = HEAD + int.from_bytes(body[1:HEAD], "big")
        assert body[0] == 0
        found.append(common_pb2.Upload.FromString(body[HEAD:end]))
        assert found[-1].SerializeToString() == body[HEAD:end]
        body = body[end:]
    return found


def sealed(upload: Sequence[common_pb2.Upload], party: int) -> bytes:
    return b"".join(one.chunk.data for one in upload[1:] if one.chunk.party == party)


def people__should_be_recognised(visit: Visit) -> None:
    answers = visit.answers
    same, other = answers["same"], answers["other"]
    assert (answers["hints"], answers["enrolled"]["answer"]) == ([], 1)
    assert (same["verified"]["answer"], same["identified"]["answer"]) == (True, SUBJECT)
    assert (other["verified"]["answer"], other["identified"]["answer"]) == (False, None)
    assert (other["forgotten"], other["missing"]["error"]) == (1, "NotFound")


def files__should_be_read_as_in_python(visit: Visit) -> None:
    for name, data in drawn().items():
        own = as_picture(data).astype(int)
        assert visit.read[name].shape == own.shape
        assert np.abs(visit.read[name] - own).max() <= FEW, name


def camera__should_be_read_as_it_is_and_its_face_be_cut_as_in_python(
    visit: Visit, shared: Path, tmp_path: Path
) -> None:
    """Shown as in a mirror, read as it is; this camera's levels are others, for Chromium takes a JPEG's for those of a video."""
    filmed(shared / "data" / "lfw-dev" / PEOPLE["enrolled"], tmp_path / "frame.jpg")
    seen, frame = picture(visit.seen["photo"], *SIZE), as_picture(tmp_path / "frame.jpg")
    alike, mirrored = (np.corrcoef(one.ravel(), frame.ravel())[0, 1] for one in (seen, seen[:, ::-1]))
    assert alike > 0.99
    assert mirrored < 0.9
    chip = chip_pixels(capture(seen), CHIP).transpose(2, 0, 1)
    difference = np.abs(np.frombuffer(visit.seen["chip"], np.uint8).reshape(SHAPE).astype(int) - chip)
    assert difference.mean() < 0.5
    assert difference.max() <= FEW


def changes_on_the_way__should_be_noticed(visit: Visit) -> None:
    """Of a key, of an upload in each of its parts, of each party's answer."""
    lies = visit.answers["same"]["lies"]
    assert lies.pop("a key") == "UntrustedKey"
    assert {lies.pop(f"answer of party {party}") for party in range(3)} == {"SealError"}
    assert lies.pop("the subject") == "PermissionDenied"
    assert set(lies.values()) == {"InvalidRequest"}
    assert len(lies) > 2


def page__should_send_to_nobody_else(visit: Visit, cluster: Cluster) -> None:
    assert set(visit.answers["origins"]) == {page_address(cluster), http_address(cluster)}
    assert sum(visit.answers["scripts"].values()) <= MOST_SCRIPT


def page__should_send_the_face_as_sealed_shares_alone(visit: Visit, cluster: Cluster) -> None:
    upload, chip = visit.enrolment, visit.seen["chip"]
    request = upload[0].header.request
    assert (request.subject, request.images, request.metadata) == (SUBJECT, 1, b"")
    assert all(one.WhichOneof("part") == "chunk" for one in upload[1:])
    context, shares = Context.from_request(request), []
    for party in range(3):
        share = sealed(upload, party)
        assert len(share) == envelope_size(4 * len(chip))
        shares.append(open_share(sealing_key(cluster.home / f"party{party}"), context, party, share)[1].reveal())
        _check_noise(np.frombuffer(share, np.uint8))
        _check_noise(np.frombuffer(shares[-1], np.uint8).reshape(-1, 4)[:, :3])  # the highest bit is never set
    assert combine([np.frombuffer(share, np.uint32) for share in shares], 31).tolist() == list(chip)


def nothing_of_a_photo__should_be_in_what_was_sent(visit: Visit) -> None:
    everything = b"".join(body for _, body in visit.sent)
    assert SUBJECT.encode() in everything
    for picture in (
        visit.seen["photo"],
        visit.seen["chip"],
        np.frombuffer(visit.seen["chip"], np.uint8).astype(np.uint32).tobytes(),
    ):
        runs = [picture[k : k + RUN] for k in range(0, len(picture) - RUN, len(picture) // 97)]
        assert not any(one in everything for one in runs if len(set(one)) > RUN // 8)


def _check_noise(octets: np.ndarray) -> None:
    """Chi-square with 255 degrees of freedom, upper 1e-6 quantile."""
    counts, even = np.bincount(octets.reshape(-1), minlength=256), octets.size / 256
    assert float(((counts - even) ** 2 / even).sum()) < 376


@pytest.mark.long
def page__should_hold_no_more_after_a_hundred_captures(shared: Path, tmp_path: Path) -> None:
    filmed(shared / "data" / "lfw-dev" / PEOPLE["enrolled"], tmp_path / "enrolled.mjpeg")
    certs.init(tmp_path / "certs", only=["client"])
    base = free_port_base()
    places = f"https://localhost:{base}", f"https://localhost:{base + 1}"  # nobody is asked
    told(tmp_path, tmp_path / "certs", *places, subject=SUBJECT, verifications=0)
    answers = run("measuring.ts", tmp_path)
    assert len(answers["captures"]) == 100
    assert answers["after"] - answers["before"] < LEAK
