"""Real photos become aligned chips; what cannot be used is refused with a reason before anything is sent."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from visard.capture import photos as module
from visard.capture import TEMPLATE, capture, detect, load_photo
from visard.errors import FaceTooSmall, NoFace, NotAnImage, SeveralFaces, TooDark


@pytest.fixture(scope="module")
def portrait(shared: Path) -> np.ndarray:
    return load_photo(shared / "data" / "lfw-dev" / "Tara_Reid" / "Tara_Reid_0001.jpg")


@pytest.mark.parametrize("person", ["Tara_Reid", "Dick_Armey", "Bono", "Babe_Ruth", "Naoto_Kan"])
def chip__should_have_its_landmarks_at_the_template(shared: Path, person: str) -> None:
    folder = shared / "data" / "lfw-dev" / person
    chip = capture(next(iter(sorted(folder.glob("*.jpg")))), largest=True).pixels
    assert (chip.shape, chip.dtype) == ((150, 150, 3), np.uint8)
    enlarged = np.pad(chip, ((75, 75), (75, 75), (0, 0)), mode="edge")
    found = detect(enlarged)[0].landmarks - 75
    assert np.abs(found - TEMPLATE).mean() < 6


def small_grey_pgm__should_be_enlarged_and_found(shared: Path) -> None:
    chip = capture(shared / "data" / "orl" / "s1" / "1.pgm", largest=True)
    assert chip.photo.shape == (112, 92, 3)
    assert chip.pixels.shape == (150, 150, 3)


@pytest.mark.parametrize("factor", [2, 3, 8])
def size_of_the_photo__should_hardly_move_the_landmarks(portrait: np.ndarray, factor: int) -> None:
    large = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    faces = [capture(photo, largest=True).face for photo in (portrait, large)]
    assert faces[0] is not None
    assert faces[1] is not None
    assert np.abs(faces[1].landmarks / factor - faces[0].landmarks).mean() < 4  # of 44 pixels between the eyes


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def exif_orientation__should_be_honoured(portrait: np.ndarray, orientation: int, turns: int) -> None:
    turned = Image.fromarray(np.rot90(portrait, turns))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    assert (load_photo(buffer.getvalue()) == portrait).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM"])
def formats__should_be_read(portrait: np.ndarray, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(portrait).save(buffer, kind)
    assert np.abs(load_photo(buffer.getvalue()).astype(int) - portrait).mean() < 4


@pytest.mark.parametrize("bad", [b"GIF89a cut off", b"\xff\xd8\xff\xe0 truncated", b"plain text"])
def bytes_that_are_no_image__should_be_refused(bad: bytes) -> None:
    with pytest.raises(NotAnImage, match="JPEG, PNG, WebP"):
        load_photo(bad)


def truncated_jpeg__should_be_refused(shared: Path) -> None:
    data = (shared / "data" / "lfw-dev" / "Bono" / "Bono_0001.jpg").read_bytes()
    with pytest.raises(NotAnImage):
        load_photo(data[: len(data) // 2])


def missing_file_and_giant_image__should_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAnImage, match="no such file"):
        load_photo(tmp_path / "none.jpg")
    buffer = io.BytesIO()
    Image.new("RGB", (100, 100)).save(buffer, "PNG")
    monkeypatch.setattr(module, "MAX_PIXELS", 9_999)
    with pytest.raises(NotAnImage, match="megapixels"):
        load_photo(buffer.getvalue())


def several_faces__should_be_refused_unless_the_largest_is_asked_for(portrait: np.ndarray) -> None:
    smaller = cv2.resize(portrait, None, fx=0.8, fy=0.8)
    canvas = np.zeros((250, 450, 3), np.uint8)
    canvas[:, :250], canvas[:200, 250:] = portrait, smaller
    with pytest.raises(SeveralFaces, match="--largest"):
        capture(canvas)
    alone = capture(portrait, largest=True).pixels.astype(int)
    assert np.abs(capture(canvas, largest=True).pixels - alone).mean() < 12


def photo_without_a_face__should_be_refused() -> None:
    for empty in (np.zeros((300, 300, 3), np.uint8), np.full((300, 300, 3), 200, np.uint8)):
        with pytest.raises(NoFace, match="no face"):
            capture(empty)


def tiny_face__should_be_refused(portrait: np.ndarray) -> None:
    canvas = np.full((600, 600, 3), 128, np.uint8)
    canvas[280:320, 280:320] = cv2.resize(portrait, (40, 40), interpolation=cv2.INTER_AREA)
    with pytest.raises((FaceTooSmall, NoFace)):
        capture(canvas)
    with pytest.raises(FaceTooSmall, match="pixels between the eyes"):
        capture(cv2.resize(portrait, (60, 60), interpolation=cv2.INTER_AREA), largest=True)


def dark_face__should_be_refused(portrait: np.ndarray) -> None:
    with pytest.raises((TooDark, NoFace)):
        capture((portrait * 0.06).astype(np.uint8), largest=True)
    with pytest.raises(TooDark, match="too dark"):
        capture((portrait * 0.15).astype(np.uint8), largest=True)


def ready_chip__should_pass_unchanged(portrait: np.ndarray) -> None:
    chip = capture(portrait, largest=True)
    assert capture(chip) is chip


def photos_in_several_threads__should_not_disturb_each_other(shared: Path) -> None:
    files = [*sorted((shared / "data" / "lfw-dev" / "Bono").glob("*.jpg")), shared / "data" / "orl" / "s1" / "1.pgm"]
    alone = [capture(file, largest=True).pixels for file in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda file: capture(file, largest=True).pixels, files * 4))
    for k, chip in enumerate(together):
        assert (chip == alone[k % len(files)]).all()
