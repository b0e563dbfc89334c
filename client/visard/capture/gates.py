"""How good a photo must be: gates. A reference's is stricter than any probe's, for it is compared with for years.

Limits were measured on 2026-11-27 (``python -m bench.quality``): each lies where photos begin to match worse, and so that all
together refuse few of LFW's. How many, and how much worse those match: docs/capture.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from visard.capture.faces import Chip
from visard.capture.quality import Quality, quality
from visard.errors import QualityError

DEFAULT_RATE = 1e-4  # of a point whose false match rate nobody has measured


@dataclass(frozen=True)
class Gate:
    """Limits of what Quality measures, in its units: "min" what is needed, "max" what is let through."""

    max_yaw: float
    max_pitch: float
    min_eyes: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    min_contrast: float
    max_clipped: float
    max_uneven: float
    max_hidden: float
    min_score: float
    max_wander: float


# yaw, pitch; eyes, sharpness; darkest, brightest, contrast, white, uneven; hidden, score, wander
PROBE = {
    1e-3: Gate(52, 12, 12.5, 0.045, 26, 240, 5, 0.35, 0.55, 0.17, 0.88, 0.2),
    1e-4: Gate(48, 11, 13, 0.055, 28, 235, 6.5, 0.3, 0.5, 0.15, 0.90, 0.18),
    1e-5: Gate(44, 10, 14, 0.06, 30, 225, 8, 0.2, 0.45, 0.12, 0.902, 0.15),
}
ENROLMENT = Gate(40, 9, 16, 0.065, 40, 215, 13, 0.1, 0.38, 0.1, 0.91, 0.125)


def probe_gate(false_match_rate: float | None) -> Gate:
    """The gate of an operating point that lets one stranger in so many in; None where nobody knows: as at one in 10,000.

    Between two gates the stricter one counts, beyond the last the last.
    """
    rate = DEFAULT_RATE if false_match_rate is None else false_match_rate
    return PROBE[max((known for known in PROBE if known <= rate), default=min(PROBE))]


def check(chip: Chip, gate: Gate) -> None:
    """Raises QualityError, which names all that is wrong; a chip that was not cut from a photo is not judged."""
    if chip.face is not None and (found := wrong(quality(chip), gate)):
        raise QualityError("; ".join(found))


def wrong(found: Quality, gate: Gate) -> list[str]:
    """What a gate refuses, and what to change: a text for each, of which none is empty; nothing where it lets through."""
    return [*_pose(found, gate), *_sharpness(found, gate), *_light(found, gate), *_seen(found, gate)]


def _pose(found: Quality, gate: Gate) -> Iterator[str]:
    if abs(found.yaw) > gate.max_yaw:
        side = "right" if found.yaw > 0 else "left"
        yield f"the face is turned to the {side} by about {abs(found.yaw):.0f} degrees: look at the camera"
    if abs(found.pitch) > gate.max_pitch:
        side = "down" if found.pitch > 0 else "up"
        yield (
            f"the face is turned {side} by about {abs(found.pitch):.0f} degrees: "
            "hold the camera at the height of the eyes, and look at it"
        )


def _sharpness(found: Quality, gate: Gate) -> Iterator[str]:
    if found.eyes < gate.min_eyes:
        yield (
            f"the face is small ({found.eyes:.1f} pixels between the eyes, {gate.min_eyes:.0f} needed): "
            "come closer, or use a photo of more pixels"
        )
    if found.sharpness < gate.min_sharpness:
        yield (
            f"the face is blurred (sharpness {found.sharpness:.3f}, {gate.min_sharpness:.3f} needed): "
            "hold still, and let the camera focus"
        )


def _light(found: Quality, gate: Gate) -> Iterator[str]:
    if found.brightness < gate.min_brightness:
        yield f"the face is dark (brightness {found.brightness:.0f} of 255, {gate.min_brightness:.0f} needed): use more light"
    if found.brightness > gate.max_brightness or found.clipped > gate.max_clipped:
        yield (
            f"the face is too bright (brightness {found.brightness:.0f} of 255, {100 * found.clipped:.0f} % of it white): "
            "use less light, and no flash"
        )
    if found.contrast < gate.min_contrast:
        yield (
            f"the face has too little contrast ({found.contrast:.0f} grey levels, {gate.min_contrast:.0f} needed): "
            "clean the lens, and have the light in front of the face, not behind it"
        )
    if abs(found.uneven) > gate.max_uneven:
        side = "left" if found.uneven > 0 else "right"
        yield f"the {side} side of the face lies in the shade: have the light in front of it"


def _seen(found: Quality, gate: Gate) -> Iterator[str]:
    if found.hidden > gate.max_hidden:
        yield f"{100 * found.hidden:.0f} % of the face are hidden: use a photo that shows all of it"
    unsure = []
    if found.score < gate.min_score:
        unsure.append(f"score {found.score:.3f}, {gate.min_score:.3f} needed")
    if found.wander > gate.max_wander:
        unsure.append(f"landmarks move by {found.wander:.3f}, {gate.max_wander:.3f} allowed")
    if unsure:
        yield (
            f"the face cannot be seen clearly ({', '.join(unsure)}): "
            "take off what covers it (hands, hair, mask, dark glasses), and look at the camera"
        )
