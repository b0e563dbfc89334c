"""Charts: the ROC, and error rates against the threshold (the thesis' figure)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from visard.owner.evaluation.metrics import Curve

mpl.use("Agg")
from matplotlib import pyplot as plt

_DPI = 110


def draw(curves: dict[str, Curve], impostors: int, points: dict[str, float], path: Path) -> None:
    """Write a PNG: a ROC for each curve; FAR, FRR and accuracy of the first one by threshold, with operating points."""
    figure, (roc, rates) = plt.subplots(1, 2, figsize=(12, 5))
    for name, curve in curves.items():
        roc.step(np.maximum(curve.far, 0.5 / impostors), curve.tar, where="post", label=name)
    roc.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate", title="ROC")
    roc.set_ylim(max(0.0, min(float(c.tar[c.far <= 0.01].max(initial=0.0)) for c in curves.values()) - 0.2), 1.005)
    roc.legend()
    _rates(rates, *next(iter(curves.items())), points)
    for axes in (roc, rates):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _rates(axes: Any, name: str, curve: Curve, points: dict[str, float]) -> None:
    finite = np.isfinite(curve.thresholds)
    thresholds, far, tar = curve.thresholds[finite], curve.far[finite], curve.tar[finite]
    axes.plot(thresholds, far, label="false accepts")
    axes.plot(thresholds, 1 - tar, label="false rejects")
    axes.plot(thresholds, (tar + 1 - far) / 2, label="accuracy")
    for point, limit in points.items():
        axes.axvline(limit, color="grey", linestyle=":")
        axes.text(limit, 0.5, point, rotation=90, va="center", ha="right", fontsize="small")
    axes.set(xlabel="distance at or below which a pair matches", title=f"error rates by threshold ({name})")
    axes.legend(loc="center left")


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
