"""What features say when they are opened: the picture, by least squares.

The attacker has the features of a layer for a victim's picture, and for pictures of other people, which anybody can feed to
the same layers. He fits one linear map from the features around a cell of the layer's grid (3 x 3 cells, all channels) to
the pixels under that cell, applies it everywhere, and adds what it misses on the average at each place. That is all, so
this is a lower bound on what opened features give away; networks trained to invert features do better (A. Dosovitskiy, T.
Brox, "Inverting visual representations with convolutional networks", CVPR 2016; A. Mahendran, A. Vedaldi, "Understanding
deep image representations by inverting them", CVPR 2015).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

Pixels = npt.NDArray[np.uint8]  # (C, H, W)
Floats = npt.NDArray[np.float64]

_REACH = 3  # cells of the neighbourhood along a side
_RIDGE = 1e-4  # of the mean square of a feature
_COARSEST = 30  # pixels along the side of the largest patch that is predicted


def features(network: nn.Module, taps: Iterable[str], pictures: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
    """The output (B, C, H, W) of each named module on pictures (B, C, H, W); of a flat one (B, D, 1, 1)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        found[name] = output.detach().reshape(*output.shape, *(1 for _ in range(4 - output.ndim)))

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(partial(keep, name)) for name in taps]
    try:
        with torch.no_grad():
            network(torch.from_numpy(pictures).float())
    finally:
        for hook in hooks:
            hook.remove()
    return found


@dataclass(frozen=True)
class Inverse:
    """A fitted map: features around a cell, and a one, to the pixels under it; and what it misses on the average."""

    matrix: Floats  # (C * 9 + 1, channels * patch * patch)
    missed: Floats  # (cells, channels * patch * patch)
    patch: int
    shape: tuple[int, int, int]  # of the pictures

    def __call__(self, tapped: Tensor) -> Pixels:
        """One picture (C, H, W) from its features (C, H, W)."""
        _, rows, columns = tapped.shape
        channels, height, width = self.shape
        tiles = (_cells(tapped) @ self.matrix + self.missed).reshape(rows, columns, channels, self.patch, self.patch)
        coarse = tiles.transpose(2, 0, 3, 1, 4).reshape(channels, rows * self.patch, columns * self.patch)
        return np.clip(np.rint(_resized(coarse, height, width)), 0, 255).astype(np.uint8)


def inverse(tapped: Tensor, pictures: npt.NDArray[np.uint8]) -> Inverse:
    """The least-squares map, with a small ridge, of features (N, C, H, W) to pictures (N, channels, height, width)."""
    grid = int(tapped.shape[2]), int(tapped.shape[3])
    patch = min(-(-pictures.shape[2] // grid[0]), _COARSEST)
    gram, cross, cells_sum, tiles_sum = (np.zeros((1, 1)) for _ in range(4))
    for own, picture in zip(tapped, pictures, strict=True):
        cells, tiles = _cells(own), _tiles(picture, grid, patch)
        gram, cross = gram + cells.T @ cells, cross + cells.T @ tiles
        cells_sum, tiles_sum = cells_sum + cells, tiles_sum + tiles
    ridge = _RIDGE * float(np.trace(gram)) / len(gram)
    matrix = np.asarray(np.linalg.solve(gram + ridge * np.eye(len(gram)), cross), np.float64)
    missed = (tiles_sum - cells_sum @ matrix) / len(pictures)
    return Inverse(matrix, missed, patch, pictures.shape[1:])


def fit(network: nn.Module, taps: Iterable[str], pictures: npt.NDArray[np.uint8]) -> dict[str, Inverse]:
    """An inverse for each named module, from pictures (N, C, H, W) of the attacker's own."""
    names = list(taps)
    found = [features(network, names, picture[None]) for picture in pictures]
    return {name: inverse(torch.cat([tapped[name] for tapped in found]), pictures) for name in names}


def correlation(found: Floats, true: Floats) -> float:
    """Of the pixels of two pictures, each less the average picture: 1 for the same picture, 0 for a guess."""
    return float(np.corrcoef(found.reshape(-1), true.reshape(-1))[0, 1])


def _cells(tapped: Tensor) -> Floats:
    """(cells, C * 9 + 1): each cell's neighbourhood, and a one."""
    reach = _REACH if min(tapped.shape[1:]) > 1 else 1
    around = functional.unfold(tapped[None], reach, padding=reach // 2)[0].T
    return np.asarray(torch.cat([around, torch.ones(len(around), 1)], dim=1), np.float64)


def _tiles(picture: Pixels, grid: tuple[int, int], patch: int) -> Floats:
    """(cells, channels * patch * patch): the pixels under each cell of the grid."""
    (rows, columns), channels = grid, len(picture)
    coarse = _resized(picture.astype(np.float64), rows * patch, columns * patch)
    tiles = coarse.reshape(channels, rows, patch, columns, patch).transpose(1, 3, 0, 2, 4)
    return np.asarray(tiles.reshape(rows * columns, -1))


def _resized(picture: Floats, height: int, width: int) -> Floats:
    """(C, H, W) in another size."""
    method = cv2.INTER_AREA if height < picture.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (width, height), interpolation=method) for plane in picture]).astype(np.float64)
