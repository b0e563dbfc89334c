"""A chart of a measurement: where each row's time goes by stage, and CPU seconds by role."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_SHOWN = 7  # stages with a colour of their own; the rest is "other"


def draw(results: list[dict[str, Any]], whole: dict[str, Any], path: Path) -> None:
    """Write a PNG: stacked stages a row (relative to the engine's time), and the service's CPU seconds by role."""
    figure, (stages, roles) = plt.subplots(1, 2, figsize=(13, 5), width_ratios=(3, 1))
    _stages(stages, [result for result in results if result["stages"]])
    _roles(roles, whole.get("cpu_s", {}))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _stages(axes: Any, results: list[dict[str, Any]]) -> None:
    totals: dict[str, float] = {}
    for result in results:
        for name, seconds in result["stages"].items():
            totals[name] = totals.get(name, 0.0) + seconds / result["engine_s"]
    shown = sorted(totals, key=lambda name: -totals[name])[:_SHOWN]
    labels = [_label(result) for result in results]
    left = [0.0] * len(results)
    for name in shown:
        widths = [result["stages"].get(name, 0.0) / result["engine_s"] for result in results]
        axes.barh(labels, widths, left=left, label=name)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.barh(labels, [max(0.0, 1 - used) for used in left], left=left, color="lightgrey", label="other")
    axes.set_xlabel("part of the engine's wall time at party 0")
    axes.invert_yaxis()
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4)


def _roles(axes: Any, cpu: dict[str, float]) -> None:
    axes.bar(list(cpu), list(cpu.values()))
    axes.set_ylabel("CPU seconds a verification")
    axes.tick_params(axis="x", rotation=45)


def _label(result: dict[str, Any]) -> str:
    size = f" x{result['batch']}" if result["batch"] > 1 else f" N={result['n']}" if result["n"] else ""
    return f"{result['row']}{size}\n{1e3 * result['engine_s']:.0f} ms"
