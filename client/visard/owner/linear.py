"""Fewer activations: before a network is compiled, some channels' activations become lines (docs/models.md).

The transform belongs to the compiler. Lines are fitted on photos, or read from a table that was made so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from torch import nn

from visard.errors import InvalidRequest
from visard.owner.compilers import compiler
from visard.owner.networks.faces import FaceNetwork

Shape = tuple[int, int, int]

_PARTS = (("channels", np.int64), ("weights", np.float64), ("biases", np.float64))


def check_share(share: float) -> None:
    """Raise InvalidRequest unless so large a share of activations can be asked for."""
    if not 0 <= share < 1:
        raise InvalidRequest(f"linearise {share:g}: a share of the activations, 0 or more and less than 1, is needed")


def fitted(module: nn.Module, shape: Shape, share: float, images: npt.NDArray[np.uint8]) -> Sequence[Any]:
    """Lines for a share of all activation elements, those that the descriptor needs least on images (N, C, H, W).

    Raises InvalidRequest where the network has not so many channels that could be lines.
    """
    check_share(share)
    try:
        return cast(Sequence[Any], compiler("linearise").fitted(module, shape, share, images))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def with_lines(module: nn.Module, shape: Shape, lines: Sequence[Any]) -> nn.Module:
    """A copy that has them; raises InvalidRequest where they do not fit the network."""
    try:
        return cast(nn.Module, compiler("linearise").linearised(module, shape, lines))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def linearised(module: nn.Module, shape: Shape, share: float, images: npt.NDArray[np.uint8]) -> nn.Module:
    """A copy with ``fitted`` lines; raises InvalidRequest."""
    return with_lines(module, shape, fitted(module, shape, share, images))


def published(module: nn.Module, face: FaceNetwork) -> nn.Module:
    """A face network as it is published unless its owner says otherwise: with the lines of its table, if it has one."""
    return module if face.lines is None else with_lines(module, face.input_shape, read(face.lines))


def write(file: Path, lines: Sequence[Any]) -> None:
    """A table of lines, FILE.npz, its weights with 11 significant bits."""
    arrays = {}
    for one in lines:
        arrays[f"{one.place} channels"] = one.channels.astype(np.uint16)
        arrays[f"{one.place} weights"] = one.weights.astype(np.float16)
        arrays[f"{one.place} biases"] = one.biases.astype(np.float32)
    np.savez_compressed(file, allow_pickle=False, **arrays)


def read(file: Path) -> Sequence[Any]:
    """What ``write`` wrote; raises InvalidRequest."""
    kind = compiler("linearise").Lines
    try:
        with np.load(file, allow_pickle=False) as table:
            return [
                kind(place, *(table[f"{place} {part}"].astype(dtype) for part, dtype in _PARTS))
                for place in dict.fromkeys(name.rpartition(" ")[0] for name in table.files)
            ]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InvalidRequest(f"{file}: not a table of lines") from error
