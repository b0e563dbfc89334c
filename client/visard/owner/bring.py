"""Bring your own model: a torch module that a function of yours makes, its weights from a safetensors file, compiled.

The function is named as FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION and takes nothing. Weights are never unpickled: a
pickle runs what its author wants. A FILE.safetensors that ``visard train`` has written is a network by itself.
"""

import importlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from visard.capture import SUFFIXES, Picture, capture, check_chip, chip_pixels, is_picture, load_photo
from visard.errors import CaptureError, InvalidRequest
from visard.owner import linear
from visard.owner.compilers import compiler
from visard.owner.networks.calibration import pictures
from visard.owner.networks.dlib_format import WeightFileError
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE, FACE_NAMES
from visard.owner.publish import PATTERN_MARGIN, PHOTO_MARGIN, Compiled
from visard.owner.training import weights as trained
from visard.sharing import DEFAULT_FIELD_BITS
from visard.uploads import as_planes, pictures_in

Shape = tuple[int, int, int]

MAX_CALIBRATION = 64  # images, evenly from a directory
MAX_SIDE = 4096
OPEN, MATCH = "open", "match"
_CALIBRATED = "FMR_1E"  # how visard evaluate names a threshold, before the rate's exponent
_TRAINED = ".safetensors"
_LONGEST = 200  # characters of somebody else's error


@dataclass(frozen=True)
class Network:
    """A module, and what its source states: the input shape, and thresholds.

    ``judges``: it takes the two pictures of a pair, one behind the other, and its output, a score or a decision, is opened.
    ``chip``: how faces are cut for it, "" for any. ``mean``: integers, 2^14 long, of the direction to which no photo may have a
    cosine above ``mean_limit``; () is none.
    """

    module: nn.Module
    shape: Shape | None
    points: Mapping[str, float] = field(default_factory=dict)
    judges: bool = False
    rates: Mapping[str, float] = field(default_factory=dict)  # false match rates of the points, where they are known
    chip: str = ""
    mean: tuple[int, ...] = ()
    mean_limit: float = 0.0


def source_of(name: str, source: str) -> str:
    """The source of a model that is published under a name: what was said, else the face network of that name, if any."""
    return source or (name if name in FACE_NAMES else FACE)


def load(source: str, weights: Path | None = None, *, decide: bool = True, plain: bool = False) -> Network:
    """The network of a source: a function's, one that visard train wrote, or a face network by its name, SFace if it is empty.

    A trained network that judges pairs gives its decision, or its score without ``decide``. SFace comes with the lines of its
    table in place of some activations, unless it is to be ``plain``. Raises InvalidRequest.
    """
    named = source or FACE
    if named not in FACE_NAMES and not named.endswith(_TRAINED):
        return _made(source, weights)
    if weights is not None:
        raise InvalidRequest(f"{source or 'the face network'} has its own weights, and takes no others (weights=None)")
    if named in FACE_NAMES:
        return _face_network(named, plain=plain)
    found = trained.load(Path(source))
    points = {"default": found.threshold}
    return Network(found.module(decide=decide), found.input_shape, points, judges=found.head is not None)


def _face_network(name: str, *, plain: bool) -> Network:
    face = face_network(name)
    try:
        mean, limit = face.mean, face.mean_limit
        module = face.load() if plain else linear.published(face.load(), face)
        return Network(module, face.input_shape, face.points, False, face.rates, face.chip, mean, limit)
    except (OSError, WeightFileError) as error:
        raise InvalidRequest(str(error)) from error


def _made(source: str, weights: Path | None) -> Network:
    home, name = _find(source)
    make = getattr(home, name, None)
    if not callable(make):
        raise InvalidRequest(f"{source}: {home.__name__} has no function {name}")
    try:
        module = make()
    except (Exception, SystemExit) as error:  # it is the owner's code
        raise InvalidRequest(f"{source}: {name}() fails: {_first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise InvalidRequest(f"{source}: {name}() must return a torch module, not {_what(module)}")
    if weights is not None:
        _fill(module, weights)
    stated = getattr(module, "input_shape", None)
    stated = getattr(home, "INPUT_SHAPE", None) if stated is None else stated
    return Network(_still(module, source), checked(stated) if stated is not None else None, chip=_chip(module, home))


def _chip(module: nn.Module, home: ModuleType) -> str:
    """What the module states as ``chip``, or its home as CHIP; raises InvalidRequest."""
    stated = getattr(module, "chip", None)
    stated = getattr(home, "CHIP", "") if stated is None else stated
    if not isinstance(stated, str):
        raise InvalidRequest(f"chip: the name of one is needed, not {stated!r:.80}")
    check_chip(stated)
    return stated


def _still(module: nn.Module, source: str) -> nn.Module:
    """For inference; what the compiler refuses, it names (scripted, compiled, without numbers)."""
    try:
        return module.eval().requires_grad_(False)
    except Exception as error:
        raise InvalidRequest(f"{source}: the module cannot be put into evaluation: {_first_line(error)}") from error


def _what(found: object) -> str:
    return f"the class {found.__name__} itself" if isinstance(found, type) else type(found).__name__


def _first_line(error: BaseException) -> str:
    """Kind and beginning of what went wrong in code that is not ours."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}" if lines else type(error).__name__


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
    except (Exception, SystemExit) as error:  # it is the owner's code
        raise InvalidRequest(f"{place}: cannot be imported: {_first_line(error)}") from error
    return module, name


def _fill(module: nn.Module, weights: Path) -> None:
    if weights.suffix != _TRAINED:
        raise InvalidRequest(f"{weights}: weights come as .safetensors, never as a pickle: see docs/models.md")
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise InvalidRequest(f"{weights}: the module is on the meta device, which holds no numbers: make it on the CPU")
    try:
        module.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise InvalidRequest(f"{weights}: not a safetensors file") from error
    except Exception as error:  # names the keys that are missing, unexpected or of another size
        raise InvalidRequest(f"{weights}: {' '.join(str(error).split())}") from error


def parse_shape(text: str) -> Shape:
    """ "3x112x112"; raises InvalidRequest."""
    if not re.fullmatch(r"\d{1,4}x\d{1,4}x\d{1,4}", text):
        raise InvalidRequest(f"input {text!r}: channels x height x width is needed, such as 3x112x112")
    return checked([int(size) for size in text.split("x")])


def checked(shape: object) -> Shape:
    """A shape of sensible size; raises InvalidRequest."""
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(sizes) != 3 or not all(isinstance(size, int) and 1 <= size <= MAX_SIDE for size in sizes):
        raise InvalidRequest(f"input: channels, height and width of 1 to {MAX_SIDE} are needed, not {shape!r:.80}")
    channels, height, width = sizes
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
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or not 0 < found[name] < 2:
            raise InvalidRequest(
                f"point {pair!r}: NAME=DISTANCE is needed, on the unit sphere (0 to 2), such as default=1.1"
            )
    return found


def read_points(file: Path) -> dict[str, float]:
    """The thresholds that ``visard evaluate`` has calibrated, from its JSON file; raises InvalidRequest."""
    try:
        found = json.loads(file.read_text())["calibration"]["thresholds"]
        return parse_points([f"{name}={float(limit)!r}" for name, limit in found.items()])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"{file}: not a report of visard evaluate with calibrated thresholds") from error


def completed(network: Network, shape: str, points: Sequence[str], calibrated: Path | None) -> Network:
    """The network with the shape and the thresholds that its owner names, which count more; raises InvalidRequest."""
    size = parse_shape(shape) if shape else network.shape
    if size is None:
        raise InvalidRequest("the module states no input_shape: channels, height and width are needed (shape)")
    found = read_points(calibrated) if calibrated is not None else {}
    own = parse_points(points)
    known = {name: rate for name, rate in network.rates.items() if name not in found}
    measured = {name: 10.0 ** -int(name.removeprefix(_CALIBRATED)) for name in found if name.startswith(_CALIBRATED)}
    rates = {name: rate for name, rate in (known | measured).items() if name not in own}  # nobody has measured these
    return replace(network, shape=size, points={**network.points, **found, **own}, rates=rates)


def compile_network(
    network: Network,
    *,
    q: int = DEFAULT_FIELD_BITS,
    calibration: Path | None = None,
    opens: bool = False,
    linearise: float = 0.0,
) -> Compiled:
    """A network whose shape is known as a program; raises InvalidRequest."""
    assert network.shape is not None
    if network.judges and not opens:
        raise InvalidRequest("a network that judges pairs opens its decision to whoever asks: allow that (opens=True)")
    points = {} if network.judges else network.points
    return compile_own(
        network.module,
        network.shape,
        q=q,
        calibration=calibration,
        points=points,
        opens=opens,
        rates={} if opens else network.rates,
        chip=network.chip,
        mean=() if opens else network.mean,
        mean_limit=0.0 if opens else network.mean_limit,
        linearise=linearise,
    )


def compile_own(
    module: nn.Module,
    shape: Shape,
    *,
    q: int = DEFAULT_FIELD_BITS,
    calibration: Path | None = None,
    points: Mapping[str, float] | None = None,
    opens: bool = False,
    rates: Mapping[str, float] | None = None,
    chip: str = "",
    mean: Sequence[int] = (),
    mean_limit: float = 0.0,
    linearise: float = 0.0,
) -> Compiled:
    """The module as a program, its ranges checked; raises InvalidRequest naming the layer that cannot be done.

    ``linearise``: the share of activations that become lines, fitted on the images of ``calibration``.
    """
    if opens and points:
        raise InvalidRequest(
            "operating points are for models that match: where the output is opened (opens=True) nothing is compared"
        )
    if not opens and "default" not in (points or {}):
        raise InvalidRequest(
            "a model that matches needs its threshold (points={'default': DISTANCE}), and one that does not opens its "
            "output (opens=True)"
        )
    check_chip(chip)
    linear.check_share(linearise)
    if linearise and calibration is None:
        raise InvalidRequest("lines are fitted on photos: a directory of them is needed (calibration)")
    images = pictures(shape, chip) if calibration is None else _pictures(calibration, shape, chip)
    if linearise:
        module = linear.linearised(module, shape, linearise, images)
    try:
        made = compiler()(
            module,
            shape,
            q=q,
            calibration=images,
            operating_points=dict(points or {}),
            margin=PATTERN_MARGIN if calibration is None else PHOTO_MARGIN,
            purpose=OPEN if opens else MATCH,
            false_match_rates=dict(rates or {}),
            chip=chip,
            mean=mean,
            mean_limit=mean_limit,
        )
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    return cast(Compiled, made)


def _pictures(directory: Path, shape: Shape, chip: str = "") -> npt.NDArray[np.uint8]:
    """Images of a directory and those below it, the faces where the model wants a chip, at its size; raises InvalidRequest."""
    paths = sorted(path for path in directory.rglob("*") if is_picture(path))
    if not paths:
        raise InvalidRequest(f"{directory}: no images ({', '.join(SUFFIXES)})")
    chosen = [paths[k * len(paths) // MAX_CALIBRATION] for k in range(MAX_CALIBRATION)]
    chosen = paths if len(paths) <= MAX_CALIBRATION else chosen
    count = pictures_in(shape[0])
    single = np.stack([as_planes(_picture(path, chip), (shape[0] // count, *shape[1:])) for path in chosen])
    return np.concatenate([np.roll(single, -k, axis=0) for k in range(count)], axis=1)  # each with the next ones


def _picture(path: Path, chip: str) -> Picture:
    if not chip:
        return load_photo(path)
    try:
        return chip_pixels(capture(path, largest=True), chip)
    except CaptureError as error:
        raise InvalidRequest(str(error)) from error
