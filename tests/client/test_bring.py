"""A model owner's function becomes a module, its weights from safetensors; what is wrong is named, nothing is unpickled."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from visard import bring
from visard.errors import InvalidRequest

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
    module, shape = bring.load(f"{home}/net.py:make", home / "good.safetensors")
    assert shape == (1, 8, 8)
    assert not module.training
    assert module(torch.ones(1, 1, 8, 8))[0].tolist() == pytest.approx([1.064, 1.064])


def module_by_name__should_be_found_too() -> None:
    module, shape = bring.load("visard.models.demonstrations:sharpen", None)
    assert shape == (1, 100, 100)
    assert sum(p.numel() for p in module.parameters()) == 20


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
    module, shape = bring.load(f"{home}/net.py:make", home / "good.safetensors")
    assert shape is not None
    compiled = bring.compile_own(module, shape, calibration=home, points={"default": 1.0})
    assert compiled.layers[0].largest_bits == pytest.approx(np.log2(160))  # type: ignore[attr-defined]
    (home / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="no images"):
        bring.compile_own(module, shape, calibration=home / "empty", points={"default": 1.0})


def purpose__should_be_chosen() -> None:
    module = nn.Flatten()
    with pytest.raises(InvalidRequest, match="--point default"):
        bring.compile_own(module, (1, 4, 4), points={"other": 1.0})
    with pytest.raises(InvalidRequest, match="nothing is compared"):
        bring.compile_own(module, (1, 4, 4), points={"default": 1.0}, opens=True)
    with pytest.raises(InvalidRequest, match="gelu is not supported"):
        bring.compile_own(nn.GELU(), (1, 4, 4), opens=True)
