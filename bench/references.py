"""``python -m bench.references LFW [--orl ORL] [--kept DIR]``: what several references a person do to the rates.

The nearest reference decides. People who have four photos or more are enrolled with one, two and three of them, drawn anew
DRAWS times; probes are their other photos, and strangers are all photos of all others. The operating point stays: the cosine
that lets in 1 in 1,000 or 10,000 of the folder's strangers, against a single reference. Then the point that keeps the rate of
strangers as it was. See docs/models.md, which quotes the figures. ``--kept``: a folder for what was measured of the photos.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.faces import NETWORKS, Faces, Floats, comparisons, limit, one_thread, read

REFERENCES = (1, 2, 3)
RATES = (1e-3, 1e-4)
DRAWS = 20

console = Console(highlight=False, width=140)
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The best cosine of each probe to a person's references: of probes of that person, and of strangers."""

    own: Floats
    strangers: Floats

    def rates(self, limit: float) -> tuple[float, float]:
        """False match rate and false non-match rate."""
        return float((self.strangers > limit).mean()), float((self.own <= limit).mean())


def main() -> None:
    """Measure, and print a table for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    one_thread()
    for name, folder in (("LFW", options.lfw), ("ORL", options.orl)):
        if folder is not None:
            kept = options.kept and options.kept / f"{name.lower()}.npz"
            console.print(table(name, read(folder, kept)))


def table(name: str, faces: Faces) -> Table:
    """Rates by network, point and number of references."""
    rows = enrolled(faces)
    shown = Table(title=f"{name}: {len(rows)} people with {REFERENCES[-1] + 1} photos or more", title_justify="left")
    for heading in ("network", "point", "references", "FMR", "times", "FNMR", "FNMR at the FMR of one reference"):
        shown.add_column(heading)
    for network in NETWORKS:
        cosines, same, _ = comparisons(faces, network)
        scores = [drawn(faces.of(network), rows, count) for count in REFERENCES]
        for rate in RATES:
            point = limit(cosines[~same], rate)
            base = scores[0].rates(point)[0]
            for count, found in zip(REFERENCES, scores, strict=True):
                fmr, fnmr = found.rates(point)
                again = found.rates(limit(found.strangers, base))[1] if count > 1 else fnmr
                cells = (f"{100 * fmr:.3f} %", f"{fmr / base:.2f}", f"{100 * fnmr:.1f} %", f"{100 * again:.1f} %")
                shown.add_row(network, f"{rate:.0e}", str(count), *cells)
    return shown


def enrolled(faces: Faces) -> list[Rows]:
    """The photos of each person who has enough of them."""
    people = np.array(faces.people)
    found = [np.flatnonzero(people == person) for person in sorted(set(faces.people))]
    return [rows for rows in found if len(rows) > REFERENCES[-1]]


def drawn(descriptors: Floats, people: list[Rows], count: int) -> Scores:
    """With ``count`` references a person; the same draws for every count, of which it takes the first."""
    dice = np.random.default_rng(1)
    own, strangers = [], []
    for rows in people:
        others = np.delete(descriptors, rows, axis=0)
        for _ in range(DRAWS):
            order = dice.permutation(rows)
            references = descriptors[order[:count]]
            own.append((descriptors[order[REFERENCES[-1] :]] @ references.T).max(axis=1))
            strangers.append((others @ references.T).max(axis=1))
    return Scores(np.concatenate(own), np.concatenate(strangers))


if __name__ == "__main__":
    main()
