"""Bring your own model: a torch module that a function of yours makes, its weights from a safetensors file, compiled.

The function is named as FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION and takes nothing. Weights are never unpickled: a
pickle runs what its author wants.
"""

import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from visard.capture import load_photo
from visard.errors import InvalidRequest
from visard.models.calibration import patterns
from visard.publish import DEFAULT_FIELD_BITS, PATTERN_MARGIN, PHOTO_MARGIN, Compiled, compiler
from visard.uploads import as_planes

Shape = tuple[int, int, int]

MAX_CALIBRATION = 64  # images, evenly from a directory
MAX_SIDE = 4096
OPEN, MATCH = "open", "match"
_PICTURES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm")


def load(source: str, weights: Path | None) -> tuple[nn.Module, Shape | None]:
    """The module, and the input shape that it or its file states; raises InvalidRequest."""
    home, name = _find(source)
    make = getattr(home, name, None)
    if not callable(make):
        raise InvalidRequest(f"{source}: {home.__name__} has no function {name}")
    module = make()
    if not isinstance(module, nn.Module):
        raise InvalidRequest(f"{source}: {name}() must return a torch module, not {type(module).__name__}")
    if weights is not None:
        _fill(module, weights)
    stated = getattr(module, "input_shape", None) or getattr(home, "INPUT_SHAPE", None)
    return module.eval().requires_grad_(False), checked(stated) if stated is not None else None


def _find(source: str) -> tuple[ModuleType, str]:
    place, _, name = source.rpartition(":")
    if not place or not name.isidentifier():
        raise InvalidRequest(f"{source}: FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION is needed")
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place), name
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError, SyntaxError) as error:
        raise InvalidRequest(f"{place}: cannot be imported: {error}") from error
    return module, name


def _fill(module: nn.Module, weights: Path) -> None:
    if weights.suffix != ".safetensors":
        raise InvalidRequest(f"{weights}: weights come as .safetensors, never as a pickle: see docs/models.md")
    try:
        module.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise InvalidRequest(f"{weights}: not a safetensors file") from error
    except RuntimeError as error:  # names the keys that are missing, unexpected or of another size
        raise InvalidRequest(f"{weights}: {error}") from error


def parse_shape(text: str) -> Shape:
    """ "3x112x112"; raises InvalidRequest."""
    if not re.fullmatch(r"\d{1,4}x\d{1,4}x\d{1,4}", text):
        raise InvalidRequest(f"input {text!r}: channels x height x width is needed, such as 3x112x112")
    return checked([int(size) for size in text.split("x")])


def checked(shape: Sequence[int]) -> Shape:
    """A shape of sensible size; raises InvalidRequest."""
    if len(shape) != 3 or not all(1 <= size <= MAX_SIDE for size in shape):
        raise InvalidRequest(f"input: channels, height and width of 1 to {MAX_SIDE} are needed, not {tuple(shape)}")
    channels, height, width = shape
    return channels, height, width


def parse_points(pairs: Sequence[str]) -> dict[str, float]:
    """NAME=DISTANCE, each; raises InvalidRequest."""
    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or not 0 < found[name] < 1000:
            raise InvalidRequest(f"point {pair!r}: NAME=DISTANCE is needed, such as default=1.1")
    return found


def compile_own(
    module: nn.Module,
    shape: Shape,
    *,
    q: int = DEFAULT_FIELD_BITS,
    calibration: Path | None = None,
    points: Mapping[str, float] | None = None,
    opens: bool = False,
) -> Compiled:
    """The module as a program, its ranges checked; raises InvalidRequest naming the layer that cannot be done."""
    if opens and points:
        raise InvalidRequest("operating points are for models that match: with --open-output nothing is compared")
    if not opens and "default" not in (points or {}):
        raise InvalidRequest(
            "a model that matches needs its threshold: --point default=DISTANCE (or --open-output for one that does not)"
        )
    images = patterns(shape) if calibration is None else _pictures(calibration, shape)
    try:
        made = compiler()(
            module,
            shape,
            q=q,
            calibration=images,
            operating_points=dict(points or {}),
            margin=PATTERN_MARGIN if calibration is None else PHOTO_MARGIN,
            purpose=OPEN if opens else MATCH,
        )
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    return cast(Compiled, made)


def _pictures(directory: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """Images of a directory and those below it, brought to the model's size; raises InvalidRequest."""
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in _PICTURES)
    if not paths:
        raise InvalidRequest(f"{directory}: no images ({', '.join(_PICTURES)})")
    chosen = [paths[k * len(paths) // MAX_CALIBRATION] for k in range(MAX_CALIBRATION)]
    chosen = paths if len(paths) <= MAX_CALIBRATION else chosen
    return np.stack([as_planes(load_photo(path), shape) for path in chosen])
