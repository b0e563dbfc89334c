"""Chips, qualities and what gates say of them, on pictures that both clients draw by the same formula: no photo is in a file."""

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from visard.capture import CHIPS, ENROLMENT, PROBE, Chip, Face, Picture, align, quality, wrong
from visard.capture.checks import blank
from visard.capture.faces import misfit, moved_back, outside

STEP = 3  # of a chip's pixels each third is in the file, in both directions
TURNED = ((1.0, 0), (0.9, 20), (1.7, -30), (0.31, 95), (0.17, 4), (4.0, 178), (0.49, 0))  # scale of the chip, degrees


def drawn(width: int, height: int, seed: int) -> Picture:
    """A picture of waves, from broad ones to such as no picture can hold, in which each channel is another."""
    y, x, channel = np.ogrid[:height, :width, :3]
    levels = (x * x * (channel + 3) + y * y * 7 + x * y * 5 + seed * (channel + 1) * 31) >> (5 + seed % 4)
    return np.asarray(levels & 255, np.uint8)


def placed(scale: float, degrees: float, middle: tuple[float, float]) -> Any:
    """Landmarks, a little off the template, of a face of which a chip is so many times as large."""
    angle, (x, y) = np.radians(degrees), middle
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([[75.0], [75.0]]) - turn @ np.array([[x], [y]])
    bent = CHIPS["dlib-150"].template + np.array([[0, 0], [3, 1], [-2, 4], [1, -2], [0, 5]])
    return moved_back(bent, np.hstack([turn, shift]))


def capture() -> Any:
    """Chips of faces in all sizes and angles, some of them beyond the edge, with their quality and what is wrong with it."""
    found = []
    for number, (scale, degrees) in enumerate(TURNED):
        width, height = 640 + 37 * number, 480 + 11 * number
        photo = drawn(width, height, number)
        landmarks = np.round(placed(scale, degrees, (width / 3, height / 2 - 20 * number)), 3)
        found.append(
            {
                "photo": [width, height, number],
                "landmarks": landmarks.tolist(),
                "chips": {name: _sampled(cut.of(photo, landmarks)) for name, cut in CHIPS.items()},
                "judged": _judged(photo, Face((0, 0, 0, 0), landmarks, 0.9 + 0.01 * number, 0.03 * number)),
            }
        )
    return found


def _sampled(chip: Picture) -> str:
    return base64.b64encode(chip[::STEP, ::STEP].tobytes()).decode()


def _judged(photo: Picture, face: Face) -> Any:
    pixels = align(photo, face.landmarks)
    found = quality(Chip(pixels, photo, face))
    gates = {"enrolment": ENROLMENT, **{f"{rate:g}": gate for rate, gate in PROBE.items()}}
    return {
        "score": face.score,
        "wander": face.wander,
        "outside": outside(photo, face.landmarks),
        "misfit": misfit(face.landmarks),
        "blank": blank(pixels),
        "quality": asdict(found),
        "wrong": {name: wrong(found, gate) for name, gate in gates.items()},
    }
