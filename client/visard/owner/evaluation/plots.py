"""Charts: ROC, error rates against the threshold (the thesis' figure), histogram of scores, DET curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from visard.owner.evaluation.comparisons import Comparisons
from visard.owner.evaluation.metrics import Curve
from visard.owner.evaluation.sphere import FARTHEST, distances

mpl.use("Agg")
from matplotlib import pyplot as plt

_DPI = 110
_BINS = 100  # divides those of Comparisons


def draw(curves: dict[str, Curve], impostors: int, points: dict[str, float], found: Comparisons, path: Path) -> None:
    """Write a PNG: ROC and error rates of the list's pairs; histogram and DET curve of all comparisons, with the points."""
    figure, ((roc, rates), (scores, det)) = plt.subplots(2, 2, figsize=(12, 10))
    for name, curve in curves.items():
        roc.step(np.maximum(curve.far, 0.5 / impostors), curve.tar, where="post", label=name)
    roc.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate", title="ROC, pairs of the list")
    roc.set_ylim(max(0.0, min(float(c.tar[c.far <= 0.01].max(initial=0.0)) for c in curves.values()) - 0.2), 1.005)
    roc.legend()
    _rates(rates, *next(iter(curves.items())), points)
    _scores(scores, found, points)
    _det(det, found, points)
    for axes in (roc, rates, scores, det):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _scores(axes: Any, found: Comparisons, points: dict[str, float]) -> None:
    """Densities of genuine and impostor distances; of a network that judges pairs, over its scores."""
    kinds = {"genuine": found.genuine.distances, "impostors": found.near.distances}
    if found.listed:
        for name, values in kinds.items():
            axes.hist(values, _BINS, density=True, histtype="step", label=name)
    else:
        edges = np.linspace(0, FARTHEST, _BINS + 1)
        axes.hist(kinds["genuine"], edges, density=True, histtype="step", label="genuine")
        counts = found.farther.reshape(_BINS, -1).sum(axis=1)
        axes.stairs(counts / max(int(counts.sum()), 1) / (FARTHEST / _BINS), edges, label="impostors")
        top = axes.secondary_xaxis("top", functions=(_cosines, distances))
        top.set_xlabel("cosine")
        top.set_xticks([1, 0.9, 0.75, 0.5, 0.25, 0, -0.5, -1])
    _mark(axes, points)
    axes.set(xlabel="distance", ylabel="density", yscale="log")
    axes.legend(loc="upper left")


def _det(axes: Any, found: Comparisons, points: dict[str, float]) -> None:
    """Both errors against each other, as far as single false matches tell them apart."""
    near, total = found.near.distances, max(found.impostors, 1)
    rates = np.arange(1, len(near) + 1) / total
    genuine = found.genuine.distances
    missed = 1 - np.searchsorted(genuine, near, side="right") / max(len(genuine), 1)
    least = 0.5 / max(len(genuine), 1)
    axes.step(rates, np.maximum(missed, least), where="post")
    for limit, names in _places(points):
        rate, miss = found.near.within(limit) / total, 1 - found.genuine.within(limit) / max(len(genuine), 1)
        axes.plot(max(rate, 0.5 / total), max(miss, least), "o", color="grey")
        axes.annotate(names, (max(rate, 0.5 / total), max(miss, least)), fontsize="small")
    axes.set(xscale="log", yscale="log", xlabel="false match rate", ylabel="false non-match rate")
    axes.set_title("DET, all comparisons")


def _cosines(distances: Any) -> Any:
    return 1 - np.square(distances) / 2


def _rates(axes: Any, name: str, curve: Curve, points: dict[str, float]) -> None:
    finite = np.isfinite(curve.thresholds)
    thresholds, far, tar = curve.thresholds[finite], curve.far[finite], curve.tar[finite]
    axes.plot(thresholds, far, label="false accepts")
    axes.plot(thresholds, 1 - tar, label="false rejects")
    axes.plot(thresholds, (tar + 1 - far) / 2, label="accuracy")
    _mark(axes, points)
    axes.set(xlabel="distance at or below which a pair matches", title=f"error rates by threshold ({name})")
    axes.legend(loc="center left")


def _mark(axes: Any, points: dict[str, float]) -> None:
    for limit, names in _places(points):
        axes.axvline(limit, color="grey", linestyle=":")
        place = {"rotation": 90, "va": "center", "ha": "right", "transform": axes.get_xaxis_transform()}
        axes.text(limit, 0.5, names, fontsize="small", **place)


def _places(points: dict[str, float]) -> list[tuple[float, str]]:
    """Distances, and the names of the points there."""
    distances = sorted(set(points.values()))
    return [(limit, ", ".join(name for name, own in points.items() if own == limit)) for limit in distances]


def draw_learning(points: Sequence[tuple[int, float, float]], title: str, path: Path) -> None:
    """Write a PNG of points (training step, loss, validation accuracy)."""
    steps, losses, accuracies = zip(*points, strict=True)
    figure, loss = plt.subplots(figsize=(7, 4))
    loss.plot(steps, losses, color="tab:orange", label="training loss")
    loss.set(xlabel="step", ylabel="loss", title=title)
    right = loss.twinx()
    right.plot(steps, [100 * value for value in accuracies], color="tab:blue", label="validation accuracy")
    right.set_ylabel("accuracy, %")
    figure.legend(loc="center right", bbox_to_anchor=(0.85, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
