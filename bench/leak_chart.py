"""The figure of bench.leak: a picture and its shares; activation maps; what a linear attacker makes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from torch import Tensor
from visard.sharing import share

mpl.use("Agg")
from matplotlib import pyplot as plt

_MAPS = 4  # activation maps of a layer, in a square
_FIELD_BITS = 31


@dataclass(frozen=True)
class Column:
    """A layer: its name and figures, features (C, H, W) of the picture, and the picture as it was reconstructed."""

    title: str
    features: Tensor
    made: npt.NDArray[np.uint8]


def draw(picture: npt.NDArray[np.uint8], columns: list[Column], path: Path) -> None:
    """Write a PNG."""
    figure, axes = plt.subplots(3, max(len(columns), 4), figsize=(1.9 * len(columns), 6.1))
    for axis in axes.flat:
        axis.set_axis_off()
    shares = [part >> _FIELD_BITS - 8 for part in share(picture.astype(np.int64), _FIELD_BITS)]
    _show(axes[0][0], picture, "picture")
    for party, part in enumerate(shares):
        _show(axes[0][party + 1], part.reshape(picture.shape).astype(np.uint8), f"share of party {party}")
    for k, column in enumerate(columns):
        axes[1][k].imshow(montage(column.features), cmap="magma", aspect="equal")
        axes[1][k].set_title(column.title, fontsize=9)
        _show(axes[2][k], column.made, "reconstructed")
    figure.tight_layout()
    figure.savefig(path, dpi=72)
    plt.close(figure)


def montage(features: Tensor) -> npt.NDArray[np.float64]:
    """The four channels that vary most, in a square, each from 0 to 1; a flat layer's numbers as a strip."""
    maps = np.asarray(features, np.float64)
    if maps.shape[1:] == (1, 1):
        return np.resize(maps[:, 0, 0], (8, len(maps) // 8))
    strongest = np.argsort(-maps.reshape(len(maps), -1).std(axis=1))[:_MAPS]
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    scaled = ((maps - low) / np.maximum(high - low, 1e-9))[strongest]
    return np.concatenate([np.concatenate(list(scaled[k : k + 2]), axis=1) for k in (0, 2)])


def _show(axis: Any, picture: npt.NDArray[np.uint8], title: str) -> None:
    grey = len(picture) == 1
    axis.imshow(picture[0] if grey else picture.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=255)
    axis.set_title(title, fontsize=9)
