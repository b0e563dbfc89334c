"""``python -m bench.quality LFW [--orl DIR] [--people N] [--kept DIR]``: what the gates at capture refuse, and how that matches.

LFW, ORL: a folder a person. What each measure is like on their photos; what each gate refuses of them; how many genuine pairs a
network misses at the point that lets in one stranger in 10,000 of LFW, where both photos pass a gate and where one does not.
Then the first photo of each of N people of LFW is made worse in ways and steps, and compared with his second as it is. See
docs/capture.md, which quotes the figures. ``--kept``: a folder for what was measured of the photos, from which gates are judged
again in seconds. ``--shape`` prints the landmarks' places in space.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from visard.capture import ENROLMENT, PROBE, Chip, Gate, Quality, capture, load_photo, quality, wrong
from visard.capture.faces import TEMPLATE, moved, similarity
from visard.capture.quality import pose
from visard.errors import CaptureError

from bench.degradations import Change, degradations
from bench.faces import MEASURES, NETWORKS, Describer, Faces, Floats, comparisons, limit, one_thread, read

Record = dict[str, Any]
Rows = npt.NDArray[np.bool_]

RATE = 1e-4
_JUDGE = "sface"  # of photos made worse
GATES = {**{f"probe, {rate:.0e}": gate for rate, gate in PROBE.items()}, "enrolment": ENROLMENT}
_WHICH = ("all", "both pass", "one is refused", "strangers let in, of 10,000, likewise")
_BINS = {"yaw": (0, 30, 35, 90), "pitch": (0, 4, 7, 90), "score": (0, 0.89, 0.91, 0.92, 0.93, 1)}
_PARTS = (0, 0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999, 1)

console = Console(highlight=False, width=160)


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--shape", action="store_true")
    options = parser.parse_args()
    one_thread()
    kept = (lambda name: options.kept / name) if options.kept else lambda name: None
    sets = {"LFW": read(options.lfw, kept("lfw.npz"))}
    if options.orl is not None:
        sets["ORL"] = read(options.orl, kept("orl.npz"))
    if options.shape:
        console.print(np.round(shape(sets["LFW"].landmarks), 3))
        return
    points = {name: limit(*_strangers(sets["LFW"], name)) for name in NETWORKS}
    console.print(spread(sets), refusals(sets), pairs(sets, points), by_measure(sets["LFW"], points))
    console.print(changed(records(options.lfw, options.people, kept("changed.json")), points[_JUDGE]))


def _strangers(faces: Faces, network: str) -> tuple[Floats, float]:
    cosines, same, _ = comparisons(faces, network)
    return cosines[~same], RATE


def spread(sets: dict[str, Faces]) -> Table:
    """Quantiles of each measure."""
    table = Table("measure", "photos", *(f"{100 * part:g} %" for part in _PARTS))
    for column, measure in enumerate(MEASURES):
        for name, faces in sets.items():
            values = np.quantile(faces.measures[:, column], _PARTS)
            table.add_row(measure, name, *(f"{value:.3g}" for value in values))
    return table


def refusals(sets: dict[str, Faces]) -> Table:
    """Of each gate: the part refused, and by what."""
    table = Table("gate", "photos", "refused", "of these for (several may hold)")
    for gate_name, gate in GATES.items():
        for name, faces in sets.items():
            found = [wrong(faces.quality(row), gate) for row in range(len(faces.people))]
            reasons: dict[str, int] = {}
            for text in (text for texts in found for text in texts):
                reasons[_reason(text)] = reasons.get(_reason(text), 0) + 1
            refused = sum(map(bool, found))
            told = ", ".join(
                f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])
            )
            table.add_row(gate_name, name, f"{refused} of {len(found)}, {100 * refused / len(found):.1f} %", told)
    return table


def _reason(text: str) -> str:
    """A text without its numbers and advice."""
    return (
        text.split(" (", maxsplit=1)[0]
        .split(" by about", maxsplit=1)[0]
        .split(": ", maxsplit=1)[0]
        .lstrip("0123456789 %")
    )


def pairs(sets: dict[str, Faces], points: dict[str, float]) -> Table:
    """False non-match rates of genuine pairs, by whether both photos pass."""
    table = Table("gate", "photos", *(f"{net}: {which}" for net in NETWORKS for which in _WHICH))
    for gate_name, gate in GATES.items():
        for name, faces in sets.items():
            passes = np.array([not wrong(faces.quality(row), gate) for row in range(len(faces.people))])
            cells = []
            for network in NETWORKS:
                cosines, same, rows = comparisons(faces, network)
                both = passes[rows[same]].all(axis=1)
                missed = cosines[same] <= points[network]
                strangers, kept = cosines[~same] > points[network], passes[rows[~same]].all(axis=1)
                let_in = f"{1e4 * strangers[kept].mean():.1f}, {1e4 * strangers[~kept].mean():.1f}"
                cells += [_part(missed), _part(missed[both]), _part(missed[~both]), let_in]
            table.add_row(gate_name, name, *cells)
    return table


def by_measure(faces: Faces, points: dict[str, float]) -> Table:
    """False non-match rates of genuine pairs by the worse photo's pose and score."""
    table = Table("measure", "from", "to", *NETWORKS)
    for measure, edges in _BINS.items():
        values = np.abs(faces.measures[:, MEASURES.index(measure)])
        for low, high in pairwise(edges):
            cells = []
            for network in NETWORKS:
                cosines, same, rows = comparisons(faces, network)
                worse = np.min if measure == "score" else np.max
                worst = worse(values[rows[same]], axis=1)
                cells.append(_part(cosines[same][(worst >= low) & (worst < high)] <= points[network]))
            table.add_row(measure, str(low), str(high), *cells)
    return table


def _part(missed: Rows) -> str:
    return f"{100 * missed.mean():.1f} % of {len(missed)}" if len(missed) else "none"


def records(lfw: Path, count: int, kept: Path | None) -> list[Record]:
    """Of each change and person: the error, or the quality and the cosines to the other photo; from ``kept`` if it is there."""
    if kept is not None and kept.exists():
        return list(json.loads(kept.read_text()))
    folders = [folder for folder in sorted(lfw.iterdir()) if folder.is_dir() and len(list(folder.glob("*.jpg"))) > 1]
    chosen = [sorted(folders[k * len(folders) // count].glob("*.jpg"))[:2] for k in range(count)]
    chips = [[capture(load_photo(file), largest=True) for file in files] for files in chosen]
    describe = Describer(_JUDGE)
    others = describe([pair[1] for pair in chips])
    found = [
        record
        for name, change in degradations()
        for record in _changed(name, change, [pair[0] for pair in chips], describe, others)
    ]
    if kept is not None:
        kept.write_text(json.dumps(found))
    return found


def _changed(name: str, change: Change, chips: Sequence[Chip], describe: Describer, others: Floats) -> list[Record]:
    found: list[Record] = []
    for row, chip in enumerate(chips):
        try:
            worse = capture(np.ascontiguousarray(change(chip.photo, chip)), largest=True)
        except CaptureError as error:
            found.append({"change": name, "row": row, "error": type(error).__name__})
            continue
        cosine = float(describe([worse])[0] @ others[row])
        found.append({"change": name, "row": row, **asdict(quality(worse)), "cosine": cosine})
    return found


def changed(found: list[Record], point: float) -> Table:
    """By change: errors as before, what two gates refuse of the rest, and how many are missed at a point, a cosine."""
    headings = ("found", "probe refused", "enrolment refused", "median cosine")
    table = Table("change", *headings, *(f"missed of {which}" for which in ("found", "probes that pass", "refused")))
    for name in dict.fromkeys(record["change"] for record in found):
        rows = [record for record in found if record["change"] == name]
        usable = [record for record in rows if "error" not in record]
        passes = np.array([_passes(record, PROBE[RATE]) for record in usable], bool)
        enrols = np.array([_passes(record, ENROLMENT) for record in usable], bool)
        cosines = np.array([record["cosine"] for record in usable])
        cells = [f"{len(usable)} of {len(rows)}", str((~passes).sum()), str((~enrols).sum())]
        middle = f"{np.median(cosines):.2f}" if usable else ""
        missed = cosines <= point
        table.add_row(name, *cells, middle, _part(missed), _part(missed[passes]), _part(missed[~passes]))
    return table


def _passes(record: Record, gate: Gate) -> bool:
    return not wrong(Quality(**{measure: record[measure] for measure in MEASURES}), gate)


def shape(landmarks: Floats) -> Floats:
    """The rigid places (5, 3) that explain landmarks (N, 5, 2) and their mirror images best, seen from far (see SHAPE)."""
    upright = np.stack([moved(marks, similarity(marks, TEMPLATE)) for marks in landmarks])
    both = np.concatenate([upright, upright[:, [1, 0, 2, 4, 3]] * [-1, 1]])
    views = (both - both.mean(axis=1, keepdims=True)).transpose(0, 2, 1).reshape(-1, 5)
    left, singular, right = np.linalg.svd(views, full_matrices=False)
    places = np.linalg.inv(_metric(left[:, :3] * singular[:3])) @ right[:3]
    return _front(places - places.mean(axis=1, keepdims=True), landmarks)


def _metric(motion: Floats) -> Floats:
    """What makes the views' two axes as long as each other, and upright, by least squares: Tomasi and Kanade's last step."""
    a, b = motion[0::2], motion[1::2]
    upper = np.triu_indices(3)

    def products(one: Floats, other: Floats) -> Floats:
        outer = one[:, :, None] * other[:, None, :]
        return np.asarray(((outer + outer.transpose(0, 2, 1)) / (1 + np.eye(3)))[:, upper[0], upper[1]])

    rows = np.concatenate([products(a, a) - products(b, b), products(a, b), products(a, a) + products(b, b)])
    wanted = np.concatenate([np.zeros(2 * len(a)), np.full(len(a), 2.0)])
    square = np.zeros((3, 3))
    square[upper] = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    values, vectors = np.linalg.eigh(square + square.T - np.diag(np.diag(square)))
    return np.asarray(vectors * np.sqrt(values))


def _front(places: Floats, landmarks: Floats) -> Floats:
    """Turned so that half of all faces look up, half down, with the eyes at a distance of 1."""
    right = places[:, 1] - places[:, 0]
    right /= np.linalg.norm(right)
    down = places[:, 3:].mean(axis=1) - places[:, :2].mean(axis=1)
    down -= right * (right @ down)
    down /= np.linalg.norm(down)
    found = (np.stack([right, down, np.cross(right, down)]) @ places).T
    pitch = np.radians(np.median([pose(marks, found)[1] for marks in landmarks]))
    turn = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return np.asarray(found @ turn / np.linalg.norm(found[1] - found[0]))


if __name__ == "__main__":
    main()
