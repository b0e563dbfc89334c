"""Of real photos both clients cut the same face alike, to a fraction of a pixel, or refuse it for the same reason."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visard.capture import Picture, as_picture, capture, chip_pixels
from visard.errors import CaptureError

from tests.photos import group, photos_of

ROOT = Path(__file__).parents[2]
NEAR = 0.25  # pixels; 0.01 in the median, and more where a face is found in doubt
FEW = 6  # grey levels of a chip, between landmarks that are so near


def photos(shared: Path, folder: Path) -> dict[str, tuple[Picture, bool]]:
    """Each with whether the largest face is meant."""
    portrait = as_picture(photos_of(shared, "Bono")[0])
    several = as_picture(group(shared, folder / "group.png"))
    large = np.zeros((1500, 2400, 3), np.uint8)
    large[1000:1250, 1900:2150] = portrait
    named = {path.stem: (as_picture(path), False) for path in photos_of(shared, "Ben_Affleck")}
    return {
        **named,
        "sharp": (as_picture(ROOT / ".photos" / "obama.jpg"), False),
        "turned": (np.ascontiguousarray(np.rot90(portrait)), False),
        "in a large one": (large, False),
        "several": (several, False),
        "the largest": (several, True),
        "dark": ((portrait // 12).astype(np.uint8), False),
        "cut": (np.ascontiguousarray(portrait[:, 125:]), False),
        "nobody": (np.full((300, 500, 3), 90, np.uint8), False),
    }


@pytest.fixture(scope="module")
def found(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The folder, what the browsers' client has found and what ours has, by name."""
    folder = tmp_path_factory.mktemp("photos")
    given = photos(shared, folder)
    for name, (photo, _) in given.items():
        (folder / f"{name}.rgb").write_bytes(photo.tobytes())
    listed = [
        {"name": name, "width": photo.shape[1], "height": photo.shape[0], "largest": largest}
        for name, (photo, largest) in given.items()
    ]
    (folder / "photos.json").write_text(json.dumps(listed))
    path = f"{ROOT / '.node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = ROOT / "client" / "web" / "test" / "capturing.ts"
    done = subprocess.run(
        ["node", script, folder], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"make test-web installs Node and packages: {done.stderr[-2000:]}"
    theirs = {one["name"]: one for one in json.loads((folder / "found.json").read_text())}
    return folder, theirs, {name: outcome(*one) for name, one in given.items()}


def outcome(photo: Picture, largest: bool) -> Any:
    """A chip, or the error's name and text."""
    try:
        return capture(photo, largest=largest)
    except CaptureError as error:
        return [type(error).__name__, str(error)]


def photos__should_be_captured_or_refused_alike(found: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    folder, theirs, ours = found
    refused = {name: own[0] for name, own in ours.items() if isinstance(own, list)}
    assert set(refused.values()) == {"NoFace", "PartialFace", "SeveralFaces", "TooDark"}
    for name, own in ours.items():
        other = theirs[name]
        if isinstance(own, list):
            assert other.get("error", [None])[0] == own[0], name
            continue
        assert own.face is not None
        assert "error" not in other, f"{name}: {other}"
        assert np.abs(np.array(other["landmarks"]) - own.face.landmarks).max() < NEAR, name
        assert other["score"] == pytest.approx(own.face.score, abs=1e-3)
        chip = np.frombuffer((folder / f"{name}.chip").read_bytes(), np.uint8).reshape(112, 112, 3)
        difference = np.abs(chip.astype(int) - chip_pixels(own, "arcface-112"))
        assert difference.mean() < 0.5
        assert difference.max() <= FEW, name
