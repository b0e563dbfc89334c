"""``python -m bench.leak DIR --photo PHOTO``: why no layer's features are opened. Reconstructs faces from them.

The 2020 thesis planned to open features after layer two or three and to go on in plaintext. Here an attacker who sees such
features reconstructs pictures of people he has never seen, by least squares (visard.owner.evaluation.inversion). DIR holds his
own pictures, a folder a person, of which a fifth of the people is kept back as victims. Of each layer: the correlation of
the victims' reconstructed pixels with the true ones, and how many reconstructions the network itself takes for the victim
(at the threshold of the operating point default). Draws the photo, its shares, activation maps and reconstructions.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from visard.capture import capture, is_picture, load_photo
from visard.errors import CaptureError
from visard.owner import bring
from visard.owner.evaluation import inversion
from visard.owner.evaluation.inversion import Inverse
from visard.owner.networks.names import FACE_SMALL
from visard.uploads import as_planes

from bench import leak_chart

# what a layer is called, by the module whose output is opened
FACE_TAPS = {
    "pool": "layer 1",
    "blocks.0": "layer 3",
    "blocks.3": "layer 9",
    "blocks.7": "layer 17",
    "descriptor": "descriptor",
}
CLASSIC_TAPS = {"2": "layer 1", "6": "layer 2", "9": "layer 3", "12": "layer 4", "16": "descriptor"}
_VICTIMS = 5  # one person of so many
_MOST = 500  # pictures of the attacker, and of the victims

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Leak:
    """Of one layer: numbers opened a picture, mean correlation on the victims, and the part of them that is recognised."""

    layer: str
    numbers: int
    correlation: float
    recognised: float


@dataclass(frozen=True)
class People:
    """Pictures (N, C, H, W) of the attacker's own, and of victims."""

    own: npt.NDArray[np.uint8]
    victims: npt.NDArray[np.uint8]


def read(directory: Path, shape: bring.Shape, *, whole: bool, most: int = _MOST) -> People:
    """Pictures as the network takes them; every fifth person is a victim."""
    sides: tuple[list[npt.NDArray[np.uint8]], list[npt.NDArray[np.uint8]]] = ([], [])
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    for k, folder in enumerate(folders):
        for path in sorted(path for path in folder.iterdir() if is_picture(path)):
            if len(sides[k % _VICTIMS == 0]) < most:
                try:
                    sides[k % _VICTIMS == 0].append(prepared(path, shape, whole=whole))
                except CaptureError as error:
                    console.print(f"left out: {error}")
    return People(np.stack(sides[0]), np.stack(sides[1]))


def prepared(path: Path, shape: bring.Shape, *, whole: bool) -> npt.NDArray[np.uint8]:
    """The picture, or the face in it."""
    return as_planes(load_photo(path) if whole else capture(path, largest=True).pixels, shape)


def attack(network: bring.Network, taps: Mapping[str, str], people: People) -> tuple[Mapping[str, Inverse], list[Leak]]:
    """Fit on the attacker's pictures, and try on the victims'; first without anything opened, by the average picture."""
    inverses = inversion.fit(network.module, taps, people.own)
    average = people.own.mean(axis=0)
    made: dict[str, list[npt.NDArray[np.uint8]]] = {name: [] for name in taps}
    numbers = {}
    for picture in people.victims:
        for name, tapped in inversion.features(network.module, taps, picture[None]).items():
            numbers[name] = tapped.numel()
            made[name].append(inverses[name](tapped[0]))
    guess = np.repeat(np.rint(average).astype(np.uint8)[None], len(people.victims), axis=0)
    leaks = [Leak("nothing", 0, 0.0, _recognised(network, guess, people.victims))]
    for name, layer in taps.items():
        pairs = zip(made[name], people.victims, strict=True)
        found = [inversion.correlation(picture - average, true - average) for picture, true in pairs]
        recognised = _recognised(network, np.stack(made[name]), people.victims)
        leaks.append(Leak(layer, numbers[name], round(float(np.mean(found)), 4), recognised))
    return inverses, leaks


def _recognised(network: bring.Network, made: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8]) -> float:
    """The part of the reconstructions that the network takes for the person they were made from."""
    first, second = (_descriptors(network.module, pictures) for pictures in (made, true))
    near = (first - second).norm(dim=1) <= network.points["default"]
    return round(float(near.float().mean()), 4)


def _descriptors(module: nn.Module, pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.cat([module(torch.from_numpy(picture[None]).float()) for picture in pictures])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="the attacker's pictures: a folder for each person")
    parser.add_argument("--photo", type=Path, required=True, help="what the figure shows: nobody of DIR")
    parser.add_argument(
        "--network", default="", help="a contrastive classic FILE.safetensors of visard train, not dlib's"
    )
    parser.add_argument("--whole", action="store_true", help="pictures of DIR as they are, without looking for a face")
    parser.add_argument("--most", type=int, default=_MOST, help="pictures of the attacker, and of the victims")
    parser.add_argument("--output", "-o", type=Path, default=Path("bench/out/leak"), help="OUTPUT.json and OUTPUT.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, taps = bring.load(options.network or FACE_SMALL), CLASSIC_TAPS if options.network else FACE_TAPS
    assert network.shape is not None
    people = read(options.directory, network.shape, whole=options.whole, most=options.most)
    console.print(f"{len(people.own)} pictures of the attacker, {len(people.victims)} of victims")
    inverses, leaks = attack(network, taps, people)
    photo = prepared(options.photo, network.shape, whole=False)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.with_suffix(".json").write_text(json.dumps([asdict(leak) for leak in leaks], indent=1) + "\n")
    tapped = inversion.features(network.module, taps, photo[None])
    columns = [
        leak_chart.Column(
            f"{leak.layer}\n{leak.correlation:.2f}, {leak.recognised:.0%}",
            tapped[name][0],
            inverses[name](tapped[name][0]),
        )
        for (name, _), leak in zip(taps.items(), leaks[1:], strict=True)
    ]
    leak_chart.draw(photo, columns, options.output.with_suffix(".png"))
    _show(leaks)


def _show(leaks: list[Leak]) -> None:
    table = Table()
    for heading in (
        "opened after",
        "numbers",
        "correlation with the true pixels, less the average picture",
        "taken for the victim, %",
    ):
        table.add_column(heading)
    for leak in leaks:
        table.add_row(leak.layer, f"{leak.numbers:,}", f"{leak.correlation:.3f}", f"{100 * leak.recognised:.1f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
