"""What people bring is read as the picture it is, or refused with what is expected: one row an input kind.

To add a kind: a row in GOOD, which makes it out of a picture (64, 48, 3) and says how far a grey level may be off, or a row in
BAD, which says what the error must name.
"""

import importlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image
from visard.capture import MAX_PIXELS, as_picture, as_pictures, capture_all, load_photo
from visard.errors import CaptureError, InvalidRequest, NotAnImage

ROWS, COLUMNS = np.mgrid[0:64, 0:48]
COLOUR = np.stack([ROWS * 3, COLUMNS * 5, 255 - ROWS * 2], axis=2).astype(
    np.uint8
)  # smooth: JPEG and WebP hardly change it
GREY = np.repeat((ROWS * 4).astype(np.uint8)[:, :, None], 3, axis=2)
WHITE = np.full_like(COLOUR, 255)
RIGHT_HALF_CLEAR = np.where(COLUMNS[:, :, None] < 24, COLOUR, WHITE)
ALPHA = np.where(COLUMNS < 24, 255, 0).astype(np.uint8)
RGBA = np.dstack([COLOUR, ALPHA])


def encoded(picture: np.ndarray, kind: str, mode: str = "", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def heic(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture)).save(buffer, quality=95)
    return buffer.getvalue()


def animation() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "GIF", save_all=True, append_images=[Image.fromarray(255 - COLOUR)])
    return buffer.getvalue()


def wide_pgm() -> bytes:
    return b"P5 48 64 65535\n" + (GREY[:, :, 0].astype(">u2") * 257).tobytes()


class FromElsewhere:
    """A tensor of another library: it knows how to become an array."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return COLOUR.astype(np.float32)


SIXTEEN = GREY[:, :, 0].astype(np.uint16) * 257
PALETTE = Image.fromarray(COLOUR).quantize(256)

# name: (what is brought, the picture it is, how many grey levels it may be off)
GOOD: dict[str, tuple[Callable[[], Any], np.ndarray, float]] = {
    "PNG": (lambda: encoded(COLOUR, "PNG"), COLOUR, 0),
    "JPEG": (lambda: encoded(COLOUR, "JPEG", quality=95), COLOUR, 3),
    "JPEG, grey": (lambda: encoded(GREY, "JPEG", "L", quality=95), GREY, 3),
    "JPEG, CMYK": (lambda: encoded(COLOUR, "JPEG", "CMYK", quality=95), COLOUR, 6),
    "WebP": (lambda: encoded(COLOUR, "WEBP", quality=95), COLOUR, 4),
    "BMP": (lambda: encoded(COLOUR, "BMP"), COLOUR, 0),
    "TIFF": (lambda: encoded(COLOUR, "TIFF"), COLOUR, 0),
    "GIF, its first picture": (animation, COLOUR, 12),
    "HEIC": (lambda: heic(COLOUR), COLOUR, 6),
    "PPM": (lambda: encoded(COLOUR, "PPM"), COLOUR, 0),
    "PGM": (lambda: encoded(GREY, "PPM", "L"), GREY, 0),
    "PGM of 16 bits": (wide_pgm, GREY, 0),
    "PNG of 16 bits, grey": (lambda: encoded(SIXTEEN, "PNG"), GREY, 0),
    "TIFF of 16 bits, grey": (lambda: encoded(SIXTEEN, "TIFF"), GREY, 0),
    "TIFF in floating point, 0 to 1": (lambda: encoded(GREY[:, :, 0].astype(np.float32) / 255, "TIFF"), GREY, 0),
    "PNG with alpha, over white": (lambda: encoded(RGBA, "PNG"), RIGHT_HALF_CLEAR, 0),
    "PNG, grey with alpha": (lambda: encoded(np.dstack([GREY[:, :, 0], ALPHA * 0 + 255]), "PNG"), GREY, 0),
    "PNG with a palette": (lambda: encoded(np.asarray(PALETTE.convert("RGB")), "PNG", "P"), COLOUR, 30),
    "bytearray": (lambda: bytearray(encoded(COLOUR, "PNG")), COLOUR, 0),
    "array (H, W, 3)": (lambda: COLOUR, COLOUR, 0),
    "array (H, W)": (lambda: GREY[:, :, 0], GREY, 0),
    "array (H, W, 1)": (lambda: GREY[:, :, :1], GREY, 0),
    "array (3, H, W)": (lambda: COLOUR.transpose(2, 0, 1), COLOUR, 0),
    "array (1, H, W)": (lambda: GREY[None, :, :, 0], GREY, 0),
    "array (H, W, 4), over white": (lambda: RGBA, RIGHT_HALF_CLEAR, 0),
    "array (4, H, W), over white": (lambda: RGBA.transpose(2, 0, 1), RIGHT_HALF_CLEAR, 0),
    "array, float32 of 0 to 1": (lambda: COLOUR.astype(np.float32) / 255, COLOUR, 0),
    "array, float64 of 0 to 255": (lambda: COLOUR.astype(np.float64), COLOUR, 0),
    "array, uint16 of 0 to 65535": (lambda: COLOUR.astype(np.uint16) * 257, COLOUR, 0),
    "array, int64 of 0 to 255": (lambda: COLOUR.astype(np.int64), COLOUR, 0),
    "array, read only": (lambda: np.frombuffer(COLOUR.tobytes(), np.uint8).reshape(COLOUR.shape), COLOUR, 0),
    "array, every second row and column": (lambda: COLOUR.repeat(2, 0).repeat(2, 1)[::2, ::2], COLOUR, 0),
    "torch (3, H, W), 0 to 1": (lambda: torch.from_numpy(COLOUR).permute(2, 0, 1).float() / 255, COLOUR, 0),
    "torch, uint8": (lambda: torch.from_numpy(COLOUR), COLOUR, 0),
    "torch, with a gradient": (lambda: (torch.from_numpy(COLOUR).float() / 255).requires_grad_(), COLOUR, 0),
    "something with __array__": (FromElsewhere, COLOUR, 0),
    "PIL, RGB": (lambda: Image.fromarray(COLOUR), COLOUR, 0),
    "PIL, L": (lambda: Image.fromarray(GREY[:, :, 0]), GREY, 0),
    "PIL, I;16": (lambda: Image.fromarray(SIXTEEN), GREY, 0),
    "PIL, RGBA": (lambda: Image.fromarray(RGBA), RIGHT_HALF_CLEAR, 0),
    "PIL, palette": (lambda: PALETTE, COLOUR, 30),
    "PIL, CMYK": (lambda: Image.fromarray(COLOUR).convert("CMYK"), COLOUR, 1),
}

NOT_READABLE = (NotAnImage, "JPEG, PNG, WebP, BMP, TIFF, GIF, PPM or PGM")
ARRAYS = (InvalidRequest, r"\(H, W, 3\) or \(3, H, W\)")

# name: (what is brought, the error and what its text must say)
BAD: dict[str, tuple[Callable[[], Any], tuple[type[Exception], str]]] = {
    "no bytes": (lambda: b"", (NotAnImage, "empty")),
    "text": (lambda: b"plain text", NOT_READABLE),
    "half a JPEG": (lambda: (data := encoded(COLOUR, "JPEG"))[: len(data) // 2], (NotAnImage, "damaged or cut off")),
    "half a PNG": (lambda: (data := encoded(COLOUR, "PNG"))[: len(data) // 2], (NotAnImage, "damaged or cut off")),
    "half a WebP": (lambda: (data := encoded(COLOUR, "WEBP"))[: len(data) // 2], (NotAnImage, "image")),
    "half a TIFF": (lambda: (data := encoded(COLOUR, "TIFF"))[: len(data) // 2], (NotAnImage, "image")),
    "half a HEIC": (lambda: (data := heic(COLOUR))[: len(data) // 2], (NotAnImage, "image")),
    "only a JPEG's start": (lambda: b"\xff\xd8\xff\xe0 truncated", NOT_READABLE),
    "an EPS, which Pillow would run": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NOT_READABLE),
    "no such file": (lambda: Path("none.jpg"), (NotAnImage, "none.jpg: no such file")),
    "a directory": (lambda: Path(os.sep), (NotAnImage, "a file is needed, not a directory")),
    "a name with a NUL": (lambda: "a\0b.jpg", (NotAnImage, "cannot be read")),
    "None": (lambda: None, (InvalidRequest, "not NoneType")),
    "a number": (lambda: 7, (InvalidRequest, "not int")),
    "a list": (lambda: COLOUR.tolist(), (InvalidRequest, "not list")),
    "array of one dimension": (lambda: COLOUR[0, 0], ARRAYS),
    "array of several pictures": (lambda: COLOUR[None], ARRAYS),
    "array of two channels": (lambda: COLOUR[:, :, :2], ARRAYS),
    "array without pixels": (lambda: COLOUR[:0], ARRAYS),
    "array (3, W, 3)": (lambda: COLOUR[:3], (InvalidRequest, "either way round")),
    "array of -1 to 1": (lambda: COLOUR / 127.5 - 1, (InvalidRequest, "of -1 to 1")),
    "array of 0 to 1.5": (lambda: COLOUR / 170, (InvalidRequest, "of 0 to 1.5")),
    "array of 0 to 300": (lambda: COLOUR * (300 / 255), (InvalidRequest, "of 0 to 300")),
    "array with NaN": (lambda: np.where(COLOUR > 9, COLOUR, np.nan), (InvalidRequest, "nan")),
    "array of booleans": (lambda: COLOUR > 100, (InvalidRequest, "bool")),
    "array of complex numbers": (lambda: COLOUR * 1j, (InvalidRequest, "complex")),
    "array of objects": (lambda: COLOUR.astype(object), (InvalidRequest, "object")),
    "array of int32 beyond 16 bits": (lambda: COLOUR.astype(np.int32) * 1000, (InvalidRequest, "of 0 to 255000")),
}


@pytest.mark.parametrize("kind", GOOD)
def input__should_be_the_picture_it_shows(kind: str) -> None:
    make, expected, off = GOOD[kind]
    found = as_picture(make())
    assert (found.shape, found.dtype.name) == ((64, 48, 3), "uint8")
    assert np.abs(found.astype(int) - expected).mean() <= off


@pytest.mark.parametrize("kind", BAD)
def input__should_be_refused_with_what_is_expected(kind: str) -> None:
    make, (error, text) = BAD[kind]
    with pytest.raises(error, match=text):
        as_picture(make())


def webp__should_be_read_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(COLOUR, "WEBP", lossless=True))
    assert (load_photo(tmp_path / "photo.jpg") == COLOUR).all()


def heic__should_say_how_to_install_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    data = heic(COLOUR)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(NotAnImage, match=r"pip install 'visard\[heic\]'"):
        load_photo(data)


@pytest.mark.parametrize("side", [9_500, 14_000])  # Pillow itself warns of the first and refuses the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def bomb__should_be_refused_before_it_is_unpacked(side: int) -> None:
    header = encoded(np.zeros((1, 1), np.uint8), "PPM", "L").replace(b"1 1", f"{side} {side}".encode())
    with pytest.raises(NotAnImage, match=f"larger than {MAX_PIXELS // 1_000_000} megapixels"):
        load_photo(header)


def several_photos__should_name_the_one_at_fault(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encoded(COLOUR, "PNG"))
    bad.write_bytes(b"?")
    with pytest.raises(NotAnImage, match=r"photo 2 of 3: .*bad\.png"):
        as_pictures([good, bad, good])
    with pytest.raises(InvalidRequest, match="photo 3 of 3: photo: a file"):
        as_pictures([good, COLOUR, None])  # type: ignore[list-item]
    with pytest.raises(CaptureError, match=r"photo 1 of 2: .*good\.png: no face found"):
        capture_all([good, COLOUR])
    with pytest.raises(CaptureError, match=r"^no face found"):
        capture_all([COLOUR])
