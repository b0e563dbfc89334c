"""A network centred on a place: the mean of its photos' descriptors is subtracted by the last bias, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner
from visard.cli.app import app
from visard.errors import InvalidRequest
from visard.owner import bring, centre, linear
from visard.owner.bring import Network, compile_network
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE, FACE_SMALL

SHAPE = (3, 8, 8)


def small(*, bias: bool = True) -> nn.Module:
    torch.manual_seed(3)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 6, bias=bias))
    module = nn.Sequential(*layers).eval().requires_grad_(False)
    module.get_parameter("0.weight").div_(64)
    return module


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(centre.FEWEST):
        folder = tmp_path / "place" / f"person{k % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    (tmp_path / "place" / "notes.txt").write_text("no picture")
    return tmp_path / "place"


def network(module: nn.Module) -> Network:
    return Network(
        module, SHAPE, {"default": 0.9}, rates={"default": 0.01}, mean=(1 << 14, 0, 0, 0, 0, 0), mean_limit=0.5
    )


def pixels_of(place: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1) for path in sorted(place.rglob("*.png"))])


def descriptors__should_be_around_zero_at_the_place(place: Path) -> None:
    module = small()
    before = module.state_dict()["3.bias"].clone()
    found = centre.centred(network(module), place)
    pixels = torch.from_numpy(pixels_of(place)).float()
    assert found.module(pixels).mean(dim=0).abs().max() < 1e-5 * module(pixels).abs().max()
    one, two = pixels[:2]
    assert torch.allclose(
        found.module(one[None]) - found.module(two[None]), module(one[None]) - module(two[None]), atol=1e-5
    )
    assert torch.equal(module.state_dict()["3.bias"], before), "the network that was given is as it was"


def points_and_the_mean_test__should_not_be_kept(place: Path) -> None:
    found = centre.centred(network(small()), place)
    assert (found.points, found.rates, found.mean, found.mean_limit) == ({}, {}, (), 0.0)
    with pytest.raises(InvalidRequest, match="needs its threshold"):
        compile_network(found)
    made = compile_network(bring.completed(found, "", ["default=0.8"], None))
    plain = compile_network(network(small()))
    assert (made.multiply_adds, len(made.weights)) == (plain.multiply_adds, len(plain.weights)), "it costs nothing"


def published_sface__should_take_a_mean() -> None:
    """With its lines: the copy is another network at the last bias alone."""
    face = face_network(FACE)
    module = linear.published(face.load(), face)
    pixels = np.random.default_rng(1).integers(0, 256, (1, *face.input_shape), dtype=np.uint8)
    mean = np.linspace(-1, 1, 128)
    shifted = centre.less(module, mean, pixels)
    inputs = torch.from_numpy(pixels).float()
    assert np.allclose((module(inputs) - shifted(inputs)).numpy(), mean, atol=1e-3)


@pytest.mark.parametrize("name", ["dlib's", "without a bias", "activation last"])
def network_that_takes_no_mean__should_be_refused(name: str, place: Path) -> None:
    """dlib's descriptors are not to be centred: its last layer has no bias."""
    modules: dict[str, Callable[[], nn.Module]] = {
        "dlib's": lambda: face_network(FACE_SMALL).load(),
        "without a bias": lambda: small(bias=False),
        "activation last": lambda: nn.Sequential(small(), nn.ReLU()),
    }
    module = modules[name]()
    shape, size = (face_network(FACE_SMALL).input_shape, 128) if name == "dlib's" else (SHAPE, 6)
    pixels = np.random.default_rng(1).integers(0, 256, (2, *shape), dtype=np.uint8)
    with pytest.raises(InvalidRequest, match="linear layer with a bias"):
        centre.less(module, np.full(size, 0.5), pixels)


def too_few_photos__should_be_refused(place: Path) -> None:
    next(place.rglob("*.png")).unlink()
    with pytest.raises(InvalidRequest, match=r"20 photos or more make a mean, and there are 19"):
        centre.centred(network(small()), place)
    with pytest.raises(InvalidRequest, match="judges pairs"):
        centre.centred(Network(small(), SHAPE, judges=True), place)


def photos_of_the_mean__should_not_be_measured_with(place: Path) -> None:
    """Points would promise too much: docs/evaluation.md."""
    (place.parent / "near").symlink_to(place, target_is_directory=True)
    with pytest.raises(
        InvalidRequest, match=r"photos of 1 people are to make the mean and to be measured with, person2"
    ):
        centre.centred(network(small()), place, [place.parent / "near" / "person2" / "another.png"])
    assert centre.centred(network(small()), place, [place.parent / "others" / "person2" / "2.png"]).points == {}
    lines = [f"person0 {i} {i + 1}\nperson0 {i} person1 {i}" for i in (1, 3)]
    (place.parent / "pairs.txt").write_text("\n".join(lines))
    asked = ["evaluate", place.parent / "pairs.txt", place, "--centre", place, "--point", "default=1"]
    assert "of 2 people" in str(CliRunner().invoke(app, list(map(str, asked))).exception)


def command__should_say_what_does_not_go_together(place: Path) -> None:
    done = CliRunner().invoke(app, ["model", "publish", "face", "--centre", str(place), "--calibrate", "a.jpg"])
    assert done.exit_code == 2
    assert "--calibration DIR" in done.output
