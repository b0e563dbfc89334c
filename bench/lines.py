"""``python -m bench.lines DIR -o FILE.npz``: the table of SFace's channels that are linear when it is published.

DIR holds photos, a folder a person. Lines are fitted on photos of some of the people, always the same ones; the figures of
docs/performance.md are of the others. The committed table, client/visard/owner/networks/sface_lines.npz, was made so of LFW's
view 1 test images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from visard.capture import capture, chip_pixels
from visard.owner import linear
from visard.owner.networks import sface

PEOPLE = 0.3  # of them are for fitting
PHOTOS = 64
SHARE = 0.2
_SEED = 1

console = Console(highlight=False, width=140)


def photos(directory: Path) -> list[Path]:
    """Photos of the people that lines are fitted on, evenly from all that there are of them."""
    files = sorted(directory.glob("*/*.jpg"))
    people = np.unique([file.parent.name for file in files])
    chosen = set(np.random.default_rng(_SEED).permutation(people)[: int(PEOPLE * len(people))])
    theirs = [file for file in files if file.parent.name in chosen]
    return [theirs[int(k)] for k in np.linspace(0, len(theirs) - 1, PHOTOS)]


def main() -> None:
    """Fit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=SHARE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chips = [chip_pixels(capture(photo, largest=True), sface.CHIP) for photo in photos(options.directory)]
    images = np.stack([chip.transpose(2, 0, 1) for chip in chips])
    lines = linear.fitted(sface.load(), sface.INPUT_SHAPE, options.share, images)
    linear.write(options.output, lines)
    for one in lines:
        console.print(f"{one.place}: {len(one.channels)} channels")


if __name__ == "__main__":
    main()
