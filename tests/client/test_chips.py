"""A face is found once and cut for each model as that wants it; what a client cannot cut it refuses by name."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from visard import received
from visard.capture import CHIPS, Chip, Cut, capture, chip_pixels, load_photo
from visard.capture.faces import moved, similarity
from visard.errors import InvalidRequest, SeveralFaces
from visard.owner.networks import sface
from visard.results import ModelInfo
from visard.uploads import pixels, whole
from visard_wire.v1 import common_pb2


@pytest.fixture(scope="module")
def chip(photos: dict[str, Path]) -> Chip:
    return capture(photos["obama"])


def model(chip: str, *shape: int) -> ModelInfo:
    return received.model_info(common_pb2.ModelInfo(name="net", input_shape=shape, chip=chip))


def dlibs_chip__should_be_the_one_that_is_judged(chip: Chip) -> None:
    assert (chip_pixels(chip, "dlib-150") == chip.pixels).all()
    assert chip_pixels(chip, "") is chip.pixels


def arcfaces_chip__should_be_opencvs(photos: dict[str, Path]) -> None:
    """That of cv2.FaceRecognizerSF, which wants blue first, and a row of the detector; it skips pixels of larger faces."""
    photo = np.asarray(cv2.resize(load_photo(photos["obama"]), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA))
    chip = capture(photo)
    assert chip.face is not None
    assert 30 < chip.face.eyes < 60
    recognizer = cv2.FaceRecognizerSF.create(str(sface.weight_file()), "")
    row = np.array([*chip.face.box, *chip.face.landmarks.ravel(), chip.face.score], np.float32)
    expected = recognizer.alignCrop(cv2.cvtColor(chip.photo, cv2.COLOR_RGB2BGR), row)[:, :, ::-1]
    found = chip_pixels(chip, "arcface-112")
    assert found.shape == (112, 112, 3)
    assert np.abs(found.astype(int) - expected)[2:-2, 2:-2].max() <= 2


@pytest.mark.parametrize("name", sorted(CHIPS))
def template__should_be_the_faces_landmarks_from_left_to_right(name: str, chip: Chip) -> None:
    assert chip.face is not None
    cut = CHIPS[name]
    placed = moved(chip.face.landmarks, similarity(chip.face.landmarks, cut.template))
    assert np.abs(placed - cut.template).max() < 0.1 * cut.size
    assert cut.of(chip.photo, chip.face.landmarks).shape == (cut.size, cut.size, 3)


def blue__should_come_first_where_a_chip_says_so(chip: Chip) -> None:
    assert chip.face is not None
    red_first = CHIPS["arcface-112"]
    blue_first = Cut(red_first.size, red_first.template, blue_first=True)
    found = blue_first.of(chip.photo, chip.face.landmarks)
    assert (found[:, :, ::-1] == red_first.of(chip.photo, chip.face.landmarks)).all()


def model__should_be_given_what_it_asks_for(chip: Chip) -> None:
    assert (pixels(chip, model("", 3, 150, 150)) == chip.pixels.transpose(2, 0, 1)).all()
    wanted = chip_pixels(chip, "arcface-112").transpose(2, 0, 1)
    assert (pixels(chip, model("arcface-112", 3, 112, 112)) == wanted).all()
    assert pixels(chip, model("arcface-112", 1, 56, 56)).shape == (1, 56, 56)


def model_that_is_run__should_be_given_the_face_where_it_wants_a_chip(chip: Chip) -> None:
    wanted = pixels(chip, model("arcface-112", 3, 112, 112))
    assert (whole([chip.photo], model("arcface-112", 3, 112, 112), largest=False) == wanted).all()
    assert (whole([chip.photo], model("", 3, 112, 112), largest=False) != wanted).any()
    twice = np.concatenate([chip.photo, chip.photo], axis=1)
    with pytest.raises(SeveralFaces):
        whole([twice], model("arcface-112", 3, 112, 112), largest=False)
    assert whole([twice], model("arcface-112", 3, 112, 112), largest=True).shape == (3, 112, 112)


@pytest.mark.parametrize("shape", [(3, 112, 112), (3, 150, 150)])
def unknown_chip__should_be_named_with_the_known_ones(chip: Chip, shape: tuple[int, int, int]) -> None:
    said = "^chip 'hologram' is not known to this client, which cuts arcface-112, dlib-150$"
    with pytest.raises(InvalidRequest, match=said):
        pixels(chip, model("hologram", *shape))
    with pytest.raises(InvalidRequest, match=said):
        whole([chip.photo], model("hologram", *shape), largest=False)


def ready_chip__should_be_of_the_models_kind(chip: Chip) -> None:
    ready = Chip(chip_pixels(chip, "arcface-112"), chip.photo)
    assert chip_pixels(ready, "arcface-112") is ready.pixels
    with pytest.raises(InvalidRequest, match="of 150 x 150, and a ready one of 112 x 112"):
        chip_pixels(ready, "dlib-150")
    with pytest.raises(InvalidRequest, match="of 112 x 112, and a ready one of 150 x 150"):
        chip_pixels(replace(chip, face=None), "arcface-112")
