"""A model owner's function becomes a module, its weights from safetensors; what is wrong is named, nothing is unpickled."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from visard import bring
from visard.errors import InvalidRequest
from visard.models import face_resnet

FILE = """
from torch import nn
INPUT_SHAPE = (1, 8, 8)
VALUE = 3
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
def number():
    return 5
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(FILE)
    state = {"1.weight": torch.full((2, 64), 1e-3), "1.bias": torch.ones(2)}
    save_file(state, tmp_path / "good.safetensors")
    save_file({"1.weight": torch.ones(2, 64)}, tmp_path / "short.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    torch.save(state, tmp_path / "state.pt")
    return tmp_path


def function__should_make_the_module_with_its_weights(home: Path) -> None:
    network = bring.load(f"{home}/net.py:make", home / "good.safetensors")
    assert network.shape == (1, 8, 8)
    assert not network.module.training
    assert network.module(torch.ones(1, 1, 8, 8))[0].tolist() == pytest.approx([1.064, 1.064])


def module_by_name__should_be_found_too() -> None:
    network = bring.load("visard.models.demonstrations:sharpen")
    assert network.shape == (1, 100, 100)
    assert sum(p.numel() for p in network.module.parameters()) == 20


@pytest.mark.parametrize(
    ("source", "weights", "text"),
    [
        ("net.py", "good.safetensors", "FILE.py:FUNCTION"),
        ("other.py:make", None, "cannot be imported"),
        ("no.such.module:make", None, "cannot be imported"),
        ("net.py:nothing", None, "has no function nothing"),
        ("net.py:VALUE", None, "has no function VALUE"),
        ("net.py:number", None, "must return a torch module, not int"),
        ("net.py:make", "short.safetensors", r"Missing key.*1\.bias"),
        ("net.py:make", "broken.safetensors", "not a safetensors file"),
        ("net.py:make", "missing.safetensors", "not a safetensors file"),
        ("net.py:make", "state.pt", "never as a pickle"),
        ("good.safetensors", None, "not a network that visard train has written"),
        ("good.safetensors", "good.safetensors", "leave --weights out"),
    ],
)
def bad_source__should_be_refused(source: str, weights: str | None, text: str, home: Path) -> None:
    named = source if source.startswith("no.") else f"{home}/{source}"
    with pytest.raises(InvalidRequest, match=text):
        bring.load(named, home / weights if weights else None)


@pytest.mark.parametrize("text", ["", "3x112", "3x112x112x1", "0x8x8", "1x9999x9999", "axbxc"])
def bad_shape__should_be_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="input"):
        bring.parse_shape(text)


@pytest.mark.parametrize("pair", ["default", "default=", "=1", "a b=1", "default=-1", "default=nan", "default=1e9"])
def bad_point__should_be_refused(pair: str) -> None:
    with pytest.raises(InvalidRequest, match="NAME=DISTANCE"):
        bring.parse_points([pair])


def points__should_be_named_distances() -> None:
    assert bring.parse_points(["default=1.1", "FMR_1E3=0.9"]) == {"default": 1.1, "FMR_1E3": 0.9}


def calibration__should_read_a_directory_in_the_models_size(home: Path) -> None:
    for k in range(3):
        picture = np.full((20, 30, 3), 80 * k, np.uint8)
        Image.fromarray(picture).save(home / f"{k}.png")
    network = bring.completed(bring.load(f"{home}/net.py:make", home / "good.safetensors"), "", ["default=1"], None)
    compiled = bring.compile_network(network, calibration=home)
    assert compiled.layers[0].largest_bits == pytest.approx(np.log2(160))  # type: ignore[attr-defined]
    (home / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="no images"):
        bring.compile_network(network, calibration=home / "empty")


def purpose__should_be_chosen() -> None:
    module = nn.Flatten()
    with pytest.raises(InvalidRequest, match="--point default"):
        bring.compile_own(module, (1, 4, 4), points={"other": 1.0})
    with pytest.raises(InvalidRequest, match="nothing is compared"):
        bring.compile_own(module, (1, 4, 4), points={"default": 1.0}, opens=True)
    with pytest.raises(InvalidRequest, match="gelu is not supported"):
        bring.compile_own(nn.GELU(), (1, 4, 4), opens=True)


def face_network__should_come_with_its_points() -> None:
    network = bring.load("")
    assert network.shape == (3, 150, 150)
    assert network.points == face_resnet.OPERATING_POINTS
    with pytest.raises(InvalidRequest, match="the face network has its own weights"):
        bring.load("", Path("net.safetensors"))


def owner__should_have_the_last_word_on_shape_and_points(home: Path) -> None:
    report = home / "evaluation.json"
    report.write_text(json.dumps({"calibration": {"thresholds": {"FMR_1E2": 0.5, "FMR_1E3": 0.4}}}))
    found = bring.completed(bring.load(""), "3x160x160", ["FMR_1E3=0.3"], report)
    assert found.shape == (3, 160, 160)
    assert found.points == {**face_resnet.OPERATING_POINTS, "FMR_1E2": 0.5, "FMR_1E3": 0.3}
    with pytest.raises(InvalidRequest, match="--input CxHxW is needed"):
        bring.completed(bring.Network(nn.Flatten(), None), "", [], None)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"calibration": null}', '{"calibration": {"thresholds": {"A": "x"}}}']
)
def report_without_calibration__should_be_refused(text: str, home: Path) -> None:
    (home / "evaluation.json").write_text(text)
    with pytest.raises(InvalidRequest, match="not a report of visard evaluate"):
        bring.read_points(home / "evaluation.json")
