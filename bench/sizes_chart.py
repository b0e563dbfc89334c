"""The plots of bench.sizes: a panel for each operation, seconds against the side, logarithmic."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG; points have "what", "who", "side" and "seconds"."""
    panels = list(dict.fromkeys(point["what"] for point in points))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.6), squeeze=False)
    for what, panel in zip(panels, axes[0], strict=True):
        _panel(panel, what, [point for point in points if point["what"] == what])
    axes[0][0].set_ylabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axes: Any, what: str, points: list[dict[str, Any]]) -> None:
    for who in dict.fromkeys(point["who"] for point in points):
        line = sorted((point["side"], point["seconds"]) for point in points if point["who"] == who)
        axes.plot([side for side, _ in line], [seconds for _, seconds in line], marker=".", label=who)
    axes.set_yscale("log")
    axes.set_title(what)
    axes.set_xlabel("side of the picture")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
