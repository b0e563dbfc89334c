"""Real photos become aligned chips; what cannot be used is refused with a reason before anything is sent."""

import io
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from visard.capture import TEMPLATE, capture, detect, load_photo
from visard.capture import photos as module
from visard.capture.checks import MAX_MISFIT
from visard.capture.faces import misfit
from visard.errors import DoubtfulFace, FaceTooSmall, NoFace, NotAnImage, PartialFace, SeveralFaces, TooDark
from visard.owner.networks import face_resnet


@pytest.fixture(scope="module")
def portrait(shared: Path) -> np.ndarray:
    return load_photo(shared / "data" / "lfw-dev" / "Tara_Reid" / "Tara_Reid_0001.jpg")


@pytest.mark.parametrize("person", ["Tara_Reid", "Dick_Armey", "Bono", "Babe_Ruth", "Naoto_Kan"])
def chip__should_have_its_landmarks_at_the_template(shared: Path, person: str) -> None:
    folder = shared / "data" / "lfw-dev" / person
    chip = capture(next(iter(sorted(folder.glob("*.jpg")))), largest=True).pixels
    assert (chip.shape, chip.dtype.name) == ((150, 150, 3), "uint8")
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
    with pytest.raises(SeveralFaces, match="largest=True"):
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


def turned(photo: np.ndarray, degrees: float) -> np.ndarray:
    middle, side = photo.shape[0] / 2, 1.5 * photo.shape[0]
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    matrix[:, 2] += side / 2 - middle
    return cv2.warpAffine(photo, matrix, (int(side), int(side)), borderValue=(128, 128, 128))


@pytest.mark.parametrize("degrees", [20, 45, 70, 90, 135, 180, 225, 270, 320])
@pytest.mark.parametrize("person", ["Tara_Reid", "Bono", "Dick_Armey"])
def turned_photo__should_give_the_upright_chip(shared: Path, person: str, degrees: float) -> None:
    photo = load_photo(shared / "data" / "lfw-dev" / person / f"{person}_0001.jpg")
    upright, found = (capture(p, largest=True).pixels for p in (photo, turned(photo, degrees)))
    assert distance(upright, found) < 0.4
    assert distance(upright, np.rot90(upright, 2)) > 0.6  # what a face that is seen upside down would reach


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Between the face network's descriptors."""
    first, second = network()(torch.from_numpy(np.stack([one, other])).permute(0, 3, 1, 2).float())
    return float((first - second).norm())


@cache
def network() -> face_resnet.FaceResNet:
    return face_resnet.load()


@pytest.mark.parametrize("part", [0.6, 0.75, 0.9])
def close_up__should_be_found(shared: Path, portrait: np.ndarray, part: float) -> None:
    x, y, width, height = detect(portrait)[0].box
    side = height / part
    matrix = np.array([[1, 0, side / 2 - x - width / 2], [0, 1, side / 2 - y - height / 2]]) * (2000 / side)
    close = cv2.warpAffine(portrait, matrix, (2000, 2000), borderMode=cv2.BORDER_REPLICATE)
    assert distance(capture(portrait, largest=True).pixels, capture(close, largest=True).pixels) < 0.3


@pytest.mark.parametrize("place", [(100, 200), (1150, 1200), (2400, 3300)])  # the second lies where four tiles meet
def small_face_in_a_large_photo__should_be_found(portrait: np.ndarray, place: tuple[int, int]) -> None:
    factor = 50 / detect(portrait)[0].box[3]
    small = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    canvas = np.full((3000, 4000, 3), 128, np.uint8)
    canvas[place[0] : place[0] + small.shape[0], place[1] : place[1] + small.shape[1]] = small
    face = capture(canvas).face
    assert face is not None
    middle = face.landmarks.mean(axis=0) - [place[1], place[0]]
    assert (middle > 0).all()
    assert (middle < small.shape[1]).all()


def half_face__should_be_refused(portrait: np.ndarray) -> None:
    face = capture(portrait, largest=True).face
    assert face is not None
    nose, lips = int(face.landmarks[2, 0]), int((face.landmarks[2, 1] + face.landmarks[3, 1]) / 2)
    for cut_off in (portrait[:, nose:], portrait[:, :nose], portrait[:lips]):
        with pytest.raises((PartialFace, DoubtfulFace, NoFace)):
            capture(np.ascontiguousarray(cut_off), largest=True)
    with pytest.raises(PartialFace, match="shows all of it"):
        capture(np.ascontiguousarray(portrait[:lips]), largest=True)
    covered = portrait.copy()
    covered[lips:] = 40
    with pytest.raises(PartialFace, match="covered"):
        capture(covered, largest=True)


def invisible_changes__should_hardly_move_the_chip(shared: Path) -> None:
    for person in ("Tara_Reid", "Bono", "Dick_Armey"):
        photo = load_photo(shared / "data" / "lfw-dev" / person / f"{person}_0001.jpg")
        faces = [capture(p, largest=True).face for p in (photo, np.ascontiguousarray(photo[5:, 3:]))]
        assert faces[0] is not None
        assert faces[1] is not None
        off = np.linalg.norm(faces[1].landmarks + np.array([3, 5]) - faces[0].landmarks, axis=1).mean()
        assert off < 0.04 * faces[0].eyes  # one look: up to 0.1


def landmarks_of_an_animal__should_not_pass_for_a_face() -> None:
    eyes_nose_mouth = np.array(
        [[40.0, 40], [110, 40], [75, 130], [70, 140], [80, 140]]
    )  # a muzzle: long, its mouth narrow
    assert misfit(eyes_nose_mouth) > MAX_MISFIT
    assert misfit(TEMPLATE * 3 + 7) < 1e-6


def doubtful_face__should_be_refused(portrait: np.ndarray) -> None:
    with pytest.raises(NoFace):
        capture(drawn_dog())
    with pytest.raises(DoubtfulFace, match="may be no person's face"):
        capture(stretched(portrait), largest=True)


def stretched(photo: np.ndarray) -> np.ndarray:
    """A face as long as an animal's: the detector still sees it, at a score of 0.8."""
    return np.asarray(cv2.resize(photo, None, fx=1, fy=2.3), np.uint8)


def drawn_dog() -> np.ndarray:
    """Ears, two eyes, a long muzzle, a nose."""
    picture = np.full((400, 400, 3), (120, 160, 120), np.uint8)
    cv2.ellipse(picture, (200, 200), (100, 130), 0, 0, 360, (150, 100, 60), -1)
    for side in (-1, 1):
        cv2.ellipse(picture, (200 + 110 * side, 170), (35, 90), 15 * side, 0, 360, (90, 55, 30), -1)
        cv2.circle(picture, (200 + 45 * side, 160), 14, (20, 15, 10), -1)
    cv2.ellipse(picture, (200, 250), (55, 80), 0, 0, 360, (190, 150, 110), -1)
    cv2.ellipse(picture, (200, 220), (24, 16), 0, 0, 360, (15, 15, 15), -1)
    cv2.ellipse(picture, (200, 265), (30, 20), 0, 0, 180, (30, 20, 20), 3)
    return picture


def same_photo__should_give_the_same_chip(portrait: np.ndarray) -> None:
    assert (capture(portrait, largest=True).pixels == capture(portrait.copy(), largest=True).pixels).all()


def face_of_a_person__should_be_cut_although_a_doubtful_one_is_larger(portrait: np.ndarray) -> None:
    canvas = np.full((575, 500, 3), 128, np.uint8)
    canvas[:, :250] = stretched(portrait)
    canvas[:250, 250:] = portrait
    face = capture(canvas, largest=True).face
    assert face is not None
    assert face.landmarks[:, 0].min() > 250


def bystander__should_not_be_taken_in_place_of_a_face_that_is_cut_off(portrait: np.ndarray) -> None:
    face = capture(portrait, largest=True).face
    assert face is not None
    canvas = np.full((250, 400, 3), 128, np.uint8)
    canvas[:, :250] = portrait
    canvas[:135, 260:395] = cv2.resize(portrait, (135, 135), interpolation=cv2.INTER_AREA)
    lips = int((face.landmarks[2, 1] + face.landmarks[3, 1]) / 2)
    with pytest.raises(PartialFace):
        capture(np.ascontiguousarray(canvas[:lips]), largest=True)
