"""A photo with a frame around each face, and who it is."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from visard.bulk import SearchedFace
from visard.capture import SUFFIXES, Source, as_picture
from visard.cli.naming import named

# of the pictures that are read those that are written
WRITTEN = tuple(end for end in SUFFIXES if Image.registered_extensions().get(end) in ("JPEG", "PNG"))
_KNOWN, _NOBODY, _NOT_ASKED = (0, 160, 60), (120, 120, 120), (200, 40, 40)


def label(face: SearchedFace) -> str:
    """Who a face is, in a word or two."""
    if face.answer is None:
        return type(face.error).__name__
    return named(face.answer)


def draw(photo: Source, faces: list[SearchedFace], path: Path) -> None:
    """Write the photo, upright, with its faces framed and named, as a JPEG or PNG file; raises OSError."""
    image = Image.fromarray(as_picture(photo))
    pen = ImageDraw.Draw(image)
    width = max(2, max(image.size) // 400)
    font = ImageFont.load_default(max(12, max(image.size) // 50))
    for face in faces:
        x, y, across, down = face.box
        colour = _NOT_ASKED if face.answer is None else _KNOWN if face.answer.known else _NOBODY
        pen.rectangle((x, y, x + across, y + down), outline=colour, width=width)
        text = label(face)
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        at = (
            min(max(x, 0), max(image.width - right, 0)),
            y + down if y + down + bottom <= image.height else y - bottom,
        )
        pen.rectangle((at[0] + left - 2, at[1] + top - 2, at[0] + right + 2, at[1] + bottom + 2), fill=colour)
        pen.text(at, text, fill=(255, 255, 255), font=font)
    image.save(path)
