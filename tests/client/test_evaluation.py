"""The evaluation takes the face that is meant, the pairs that are listed, and calibrates on what the list compares."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn
from visard.capture import align, detect, refine
from visard.errors import InvalidRequest
from visard.owner import bring
from visard.owner.evaluation import calibration, comparisons, embed, groups, intervals, metrics, report
from visard.owner.evaluation.pairs import read_pairs
from visard.owner.evaluation.sphere import unit

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


def name__should_be_able_to_say_a_group(tmp_path: Path) -> None:
    for group, name in (("old", "ann"), ("young", "bob")):
        (tmp_path / group / name).mkdir(parents=True)
        for k in (1, 2):
            Image.new("RGB", (4, 4)).save(tmp_path / group / name / f"{name}_000{k}.jpg")
    (tmp_path / "list").write_text("old/ann 1 2\nyoung/bob 1 2\nold/ann 1 young/bob 1\nold/ann 2 young/bob 2\n")
    found = read_pairs(tmp_path / "list", tmp_path)
    assert groups.of_names(found.people) == ["old", "old", "young", "young"]
    (tmp_path / "groups.csv").write_text("person,group\nold/ann,north\nbob_0001.jpg,south\n")
    named = groups.read_groups(tmp_path / "groups.csv", found.images, found.people, tmp_path)
    assert named == ["north", "north", "south", ""]
    assert groups.of_people(named, np.array([0, 0, 1, 1])) == ["north", "south"]
    (tmp_path / "groups.csv").write_text("ann\n")
    with pytest.raises(InvalidRequest, match="row 1: image or person, group"):
        groups.read_groups(tmp_path / "groups.csv", found.images, found.people, tmp_path)
    (tmp_path / "groups.csv").write_text("somebody,else\n")
    with pytest.raises(InvalidRequest, match="names none of the images"):
        groups.read_groups(tmp_path / "groups.csv", found.images, found.people, tmp_path)


def rate__should_stand_beside_its_interval_in_json() -> None:
    made = report.Report("net", 4, 4, 8, 2, {"a.jpg": "no face found"})
    rate = metrics.Estimate(0.1, 0.0, 0.3)
    made.points = {"FMR_1E4": report.Point(1.1, 0.395, rate, rate, 1, 10, 2, 20, 0.2, 0.05)}
    line = json.loads(json.dumps(report.as_line(made)))
    assert (line["model"], line["failures_to_capture"]) == ("net", 1)
    point = line["points"]["FMR_1E4"]
    assert (point["fmr"], point["fmr_interval"], point["fnmr"], point["fnmr_interval"]) == (
        0.1,
        [0, 0.3],
        0.1,
        [0, 0.3],
    )
    assert "figures" not in line
    assert json.loads(json.dumps(report.as_json(made)))["failures"] == {"a.jpg": "no face found"}


def points_of_a_report__should_be_published(tmp_path: Path) -> None:
    """The names, and so the rates, are those of the calibration; what stands for the default is the owner's matter."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(150), 2)
    vectors = unit(rng.normal(size=(150, 8))[person] + 0.4 * rng.normal(size=(300, 8)))
    every = np.ones(300, np.bool_)
    found = comparisons.compare(vectors, person, every, every)
    made = report.Report("net", 4, 4, 8, 2, {})
    made.calibration = calibration.calibrate(found, intervals.draws(150, resamples=20))
    (tmp_path / "own.json").write_text(json.dumps(report.as_json(made)))
    assert bring.read_points(tmp_path / "own.json") == made.calibration.thresholds
    assert "FMR_1E3" in made.calibration.thresholds
    network = bring.completed(bring.Network(nn.Identity(), (3, 4, 4), {"default": 1.0}), "", [], tmp_path / "own.json")
    assert network.rates["FMR_1E3"] == 1e-3
