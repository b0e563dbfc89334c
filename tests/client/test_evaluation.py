"""The evaluation takes the face that is meant, the pairs that are listed, and calibrates on what the list compares."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from visard.capture import align, detect, refine
from visard.errors import InvalidRequest
from visard.owner.evaluation import embed, report
from visard.owner.evaluation.pairs import read_pairs

SHAPE = (3, 150, 150)


@pytest.fixture
def images(shared: Path, tmp_path: Path) -> Path:
    """One of ORL's people beside a larger picture of another, and alone: the person is in the middle of both."""
    small, large = (Image.open(shared / "data" / "orl" / f"s{k}" / "1.pgm").convert("RGB") for k in (1, 5))
    sheet = Image.new("RGB", (700, 300), (90, 90, 90))
    sheet.paste(small.resize((138, 168)), (281, 66))
    sheet.paste(large.resize((230, 280)), (460, 10))
    (tmp_path / "ann").mkdir()
    sheet.save(tmp_path / "ann" / "ann_0001.png")
    small.resize((138, 168)).save(tmp_path / "ann" / "ann_0002.png")
    return tmp_path


def taken(images: Path, which: embed.Which) -> np.ndarray:
    found = embed.capture_all([images / "ann" / "ann_0001.png"], SHAPE, which, lambda: None)
    return found.pictures[0].astype(int)


def central_face__should_be_taken_where_it_is_meant(images: Path) -> None:
    photo = np.asarray(Image.open(images / "ann" / "ann_0001.png"))
    large, small = (align(photo, refine(photo, face).landmarks).transpose(2, 0, 1) for face in detect(photo))
    assert np.abs(taken(images, "largest") - large).max() == 0
    assert np.abs(taken(images, "central") - small).max() == 0
    assert np.abs(large.astype(int) - small).mean() > 10


def whole_picture__should_be_taken_without_a_face(images: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), (9, 9, 9)).save(tmp_path / "dark.png")
    paths = [tmp_path / "dark.png"]
    assert (embed.capture_all(paths, SHAPE, "whole", lambda: None).pictures[0] == 9).all()
    paths.append(images / "ann" / "ann_0002.png")
    refused = embed.capture_all(paths, SHAPE, "central", lambda: None)
    assert (list(refused.pictures), "no face found" in refused.failures[0]) == ([1], True)
    with pytest.raises(InvalidRequest, match="none of 1 images can be used: no face found"):
        embed.capture_all(paths[:1], SHAPE, "largest", lambda: None)


def image__should_be_found_by_name_or_else_by_its_place(images: Path, shared: Path, tmp_path: Path) -> None:
    orl = shared / "data" / "orl"
    (tmp_path / "list").write_text("s1 1 2\ns1 3 4\ns1 1 s2 1\ns1 2 s2 10\n")
    found = read_pairs(tmp_path / "list", orl)
    assert [path.name for path in found.images] == ["1.pgm", "10.pgm", "2.pgm", "3.pgm", "1.pgm", "9.pgm"]
    (tmp_path / "list").write_text("ann 1 2\nann 1 3\n")
    with pytest.raises(InvalidRequest, match=r"line 2: no image .*ann_0003\.jpg"):  # not the third of anything
        read_pairs(tmp_path / "list", images)


def calibration__should_leave_as_many_impostors_as_its_name_says() -> None:
    impostors = np.random.default_rng(0).uniform(0, 2, 20_000)
    found = report.calibrate(impostors, 50, {"default": 1.0})
    assert list(found.thresholds) == ["FMR_1E2"]  # of 20 matches a threshold would say little
    assert (impostors <= found.thresholds["FMR_1E2"]).mean() == 0.01
    assert found.rates["default"] == pytest.approx(0.5, abs=0.02)


def rates__should_count_each_kind_of_error() -> None:
    same = np.array([True] * 4 + [False] * 6)
    found = report.rates(np.array([True, True, True, False, True, True, False, False, False, False]), same)
    assert (found.accuracy.value, found.false_match_rate.value, found.false_non_match_rate.value) == (0.7, 2 / 6, 0.25)
