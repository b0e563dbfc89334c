"""Pictures become a model's input: its size, its colours, and two behind each other for one that judges pairs."""

import numpy as np
import pytest
from visard import received
from visard.capture import Chip
from visard.errors import InvalidRequest
from visard.results import ModelInfo
from visard.uploads import as_planes, pictures_in, pixels, planes
from visard_wire.v1 import common_pb2

RNG = np.random.default_rng(0)
CHIP = RNG.integers(0, 256, (150, 150, 3)).astype(np.uint8)
GREY = RNG.integers(0, 256, (100, 100, 1)).astype(np.uint8)


def model(*shape: int) -> ModelInfo:
    return received.model_info(common_pb2.ModelInfo(name="net", input_shape=shape))


def chip__should_stay_as_it_is_where_the_model_takes_its_size() -> None:
    assert (pixels(Chip(CHIP, CHIP), model(3, 150, 150)) == CHIP.transpose(2, 0, 1)).all()
    assert (pixels(Chip(GREY, GREY), model(1, 100, 100)) == GREY.transpose(2, 0, 1)).all()


def chip__should_be_brought_to_another_models_size() -> None:
    even = np.full((150, 150, 3), 90, np.uint8)
    assert (pixels(Chip(even, even), model(3, 112, 112)) == 90).all()
    assert pixels(Chip(CHIP, CHIP), model(1, 100, 100)).shape == (1, 100, 100)


def pair__should_stand_one_behind_the_other() -> None:
    other = GREY[::-1].copy()
    found = planes([GREY, other], model(2, 100, 100))
    assert (found == np.stack([GREY[:, :, 0], other[:, :, 0]])).all()
    assert planes([CHIP, CHIP], model(6, 150, 150)).shape == (6, 150, 150)
    assert [pictures_in(channels) for channels in (1, 2, 3, 6)] == [1, 2, 1, 2]


@pytest.mark.parametrize(("count", "channels", "needed"), [(1, 2, 2), (2, 1, 1), (2, 3, 1), (3, 6, 2), (1, 6, 2)])
def other_count_of_pictures__should_be_refused(count: int, channels: int, needed: int) -> None:
    with pytest.raises(
        InvalidRequest, match=f"net takes {needed} pictures at once, in {channels} channels, not {count}"
    ):
        planes([GREY] * count, model(channels, 100, 100))


def grey_picture__should_be_the_same_in_both_forms() -> None:
    assert (as_planes(GREY, (1, 100, 100)) == as_planes(GREY[:, :, 0], (1, 100, 100))).all()
