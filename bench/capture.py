"""``python -m bench.capture DIR [--orl DIR] [--animals DIR] [--photos N]``: what the capture accepts, and how steady it is.

DIR holds LFW (a folder a person). Everything is measured on N photos evenly spread over it, refusals on all. Distances are those
of dlib's face network, to the chip of the photo as it was. See docs/capture.md, which quotes the figures. Animals: a folder of
pictures without people.
"""

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.console import Console
from torch.nn import functional
from visard.capture import Chip, Picture, capture, is_picture, load_photo
from visard.errors import CaptureError
from visard.owner.networks import face_resnet

Change = Callable[[Picture, Chip], Picture]
Floats = npt.NDArray[np.float64]

LIMIT = face_resnet.OPERATING_POINTS["FMR_1E3"]
_GREY = (128, 128, 128)

console = Console(highlight=False, width=140)
network = face_resnet.load()


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--animals", type=Path)
    parser.add_argument("--photos", type=int, default=130)
    parser.add_argument("--only", default="", help="of the changes, those whose name holds this")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    files = sorted(options.lfw.glob("*/*.jpg"))
    if not options.only:
        refusals("LFW", files)
    for name, folder in (("ORL", options.orl), ("animals", options.animals)):
        if folder is not None:
            refusals(
                name,
                sorted(path for path in folder.rglob("*") if is_picture(path)),
            )
    photos = [load_photo(files[k * len(files) // options.photos]) for k in range(options.photos)]
    chips = [capture(photo, largest=True) for photo in photos]
    base = describe([chip.pixels for chip in chips])
    for name, change in changes():
        if options.only not in name:
            continue
        compare(name, change, photos, chips, base)


def refusals(name: str, files: Sequence[Path]) -> None:
    """How many are refused, why, and the milliseconds a photo (decoding left out)."""
    wrong: Counter[str] = Counter()
    times = []
    for file in files:
        try:
            photo = load_photo(file)
            started = time.process_time()
            capture(photo, largest=True)
        except CaptureError as error:
            wrong[type(error).__name__] += 1
        times.append(1000 * (time.process_time() - started))
    spent = ", ".join(f"{x:.0f}" for x in np.quantile(times, [0.5, 0.95, 1]))
    console.print(
        f"{name}: {wrong.total()} of {len(files)} refused {dict(wrong)}; ms a photo, median, 95 %, most: {spent}"
    )


def compare(name: str, change: Change, photos: list[Picture], chips: list[Chip], base: Floats) -> None:
    """Of changed photos: how many are refused, and how far descriptors have moved."""
    kept, found, times = [], [], []
    wrong: Counter[str] = Counter()
    for row, (photo, chip) in enumerate(zip(photos, chips, strict=True)):
        changed = np.ascontiguousarray(change(photo, chip))
        started = time.process_time()
        try:
            found.append(capture(changed, largest=True).pixels)
            kept.append(row)
        except CaptureError as error:
            wrong[type(error).__name__] += 1
        times.append(1000 * (time.process_time() - started))
    line = f"{name}: {len(kept)} of {len(photos)} accepted {dict(wrong)}, {np.median(times):.0f} ms"
    if kept:
        far = np.linalg.norm(describe(found) - base[kept], axis=1)
        moved = ", ".join(f"{x:.3f}" for x in np.quantile(far, [0.5, 0.95, 1]))
        line += f"; distance median, 95 %, most: {moved}; {int((far > LIMIT).sum())} beyond {LIMIT}"
    console.print(line)


def describe(chips: Sequence[Picture]) -> Floats:
    """Descriptors (N, 128), at length one."""
    found = []
    for start in range(0, len(chips), 16):
        pixels = torch.from_numpy(np.stack(chips[start : start + 16])).permute(0, 3, 1, 2).float()
        found.append(np.asarray(functional.normalize(network(pixels)), np.float64))
    return np.concatenate(found)


def changes() -> list[tuple[str, Change]]:
    """What is done to the photos."""
    turned: list[tuple[str, Change]] = [
        (f"turned by {d} degrees", turn(d)) for d in (15, 30, 45, 60, 90, 120, 135, 180, 225, 270)
    ]
    closer: list[tuple[str, Change]] = [
        (f"2,000 pixels, face {round(100 * part)} % of the height", close_up(part)) for part in (0.6, 0.75, 0.9)
    ]
    farther: list[tuple[str, Change]] = [(f"4,000 x 3,000 pixels, face of {size}", far(size)) for size in (40, 60)]
    return [*jitter(), *turned, *closer, *farther, ("mirrored", lambda p, c: p[:, ::-1]), *halves()]


def jitter() -> list[tuple[str, Change]]:
    """Changes that nobody sees."""
    return [
        ("JPEG of quality 95", lambda p, c: jpeg(p, 95)),
        ("JPEG of quality 75", lambda p, c: jpeg(p, 75)),
        ("scaled by 0.9", lambda p, c: scaled(p, 0.9)),
        ("scaled by 2", lambda p, c: scaled(p, 2)),
        ("cropped by 3 and 5 pixels", lambda p, c: p[5:, 3:]),
    ]


def halves() -> list[tuple[str, Change]]:
    """Faces of which a part is cut off, or covered by one colour."""

    def nose(chip: Chip) -> int:
        return int(marks(chip)[2, 0])

    def lips(chip: Chip) -> int:
        return int((marks(chip)[2, 1] + marks(chip)[3, 1]) / 2)

    def brows(chip: Chip) -> int:
        return int((marks(chip)[0, 1] + marks(chip)[2, 1]) / 2)

    return [
        ("left half cut off", lambda p, c: p[:, nose(c) :]),
        ("right half cut off", lambda p, c: p[:, : nose(c)]),
        ("cut at the left eye", lambda p, c: p[:, : int(marks(c)[1, 0])]),
        ("mouth cut off", lambda p, c: p[: lips(c)]),
        ("eyes cut off", lambda p, c: p[brows(c) :]),
        ("right half covered", lambda p, c: covered(p, 0, p.shape[0], nose(c), p.shape[1])),
        ("mouth covered", lambda p, c: covered(p, lips(c), p.shape[0], 0, p.shape[1])),
        ("eyes covered", lambda p, c: covered(p, 0, brows(c), 0, p.shape[1])),
    ]


def marks(chip: Chip) -> Floats:
    """Landmarks in the photo."""
    assert chip.face is not None
    return chip.face.landmarks


def covered(photo: Picture, top: int, bottom: int, left: int, right: int) -> Picture:
    """With a dark bar."""
    photo = photo.copy()
    photo[top:bottom, left:right] = 40
    return photo


def jpeg(photo: Picture, quality: int) -> Picture:
    """Compressed and read again."""
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
    return load_photo(buffer.getvalue())


def scaled(photo: Picture, factor: float) -> Picture:
    """By Lanczos' filter."""
    size = round(photo.shape[1] * factor), round(photo.shape[0] * factor)
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def turn(degrees: float) -> Change:
    """Turned about the middle, on a canvas that holds all of it."""

    def change(photo: Picture, chip: Chip) -> Picture:
        height, width = photo.shape[:2]
        side = int(np.hypot(height, width)) + 1
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
        return np.asarray(cv2.warpAffine(photo, matrix, (side, side), borderValue=_GREY), np.uint8)

    return change


def close_up(part: float) -> Change:
    """A photo 2,000 pixels high of which the face's box takes a part."""

    def change(photo: Picture, chip: Chip) -> Picture:
        assert chip.face is not None
        x, y, width, height = chip.face.box
        side = height / part
        matrix = np.array([[1, 0, side / 2 - x - width / 2], [0, 1, side / 2 - y - height / 2]]) * (2000 / side)
        return np.asarray(
            cv2.warpAffine(photo, matrix, (2000, 2000), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    return change


def far(size: int) -> Change:
    """A photo of 12 megapixels with a face of so many pixels, somewhere."""

    def change(photo: Picture, chip: Chip) -> Picture:
        assert chip.face is not None
        factor = size / chip.face.box[3]
        small = np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        canvas = np.full((3000, 4000, 3), _GREY, np.uint8)
        canvas[1700 : 1700 + small.shape[0], 2500 : 2500 + small.shape[1]] = small
        return canvas

    return change


if __name__ == "__main__":
    main()
