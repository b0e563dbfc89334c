"""What people bring, as RGB pictures: files of many formats, arrays, tensors and PIL images. What is ambiguous is refused."""

import importlib
import io
import os
import struct
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, features

from visard.capture.faces import Picture
from visard.errors import InvalidRequest, NotAnImage

# PPM reads PGM as well, JPEG the MPO of phones; of a GIF or TIFF with several pictures the first counts
FORMATS = ("JPEG", "PNG", "PPM", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if features.check("avif") else []))
# how files of these kinds are named, in small letters; in a directory the others are passed over
SUFFIXES = (
    *(
        ".jpg",
        ".png",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".webp",
        ".heic",
        ".heif",
        ".hif",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
    ),
    *(".ppm", ".pgm", ".pbm", ".pnm", *([".avif"] if features.check("avif") else [])),
)
MAX_PIXELS = 89_000_000  # Pillow warns from 89.5 on
_READ = "JPEG, PNG, WebP, BMP, TIFF, GIF, PPM or PGM"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ARRAYS = "pictures are (H, W, 3) or (3, H, W), RGB, or (H, W), grey, of 0 to 255 or, in floating point, 0 to 1"
_CHANNELS = (1, 3, 4)
# what Pillow's readers raise on files that are none of theirs, are cut off or were tampered with
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
    MemoryError,
)


class ArrayLike(Protocol):
    """A numpy array, or what becomes one: a torch tensor, for instance."""

    def __array__(self, *args: Any, **kwargs: Any) -> npt.NDArray[Any]:
        """As an array."""


Source = Path | str | bytes | Picture | ArrayLike | Image.Image


def is_picture(path: Path) -> bool:
    """Whether a file is named as pictures are that can be read; HEIC is, though reading it takes a package of its own."""
    return path.suffix.lower() in SUFFIXES


def as_picture(source: Any) -> Picture:
    """RGB (H, W, 3) of 8 bits: of a file, its bytes, an array, a tensor or a PIL image; raises NotAnImage and InvalidRequest.

    Arrays are (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels, the fourth being alpha over white: integers of 0 to 255,
    16-bit ones of 0 to 65535, or floating point of 0 to 1 or of 0 to 255.
    """
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        return load_photo(bytes(source) if isinstance(source, (bytearray, memoryview)) else source)
    if isinstance(source, Image.Image):
        return _checked(source, "the image")
    if hasattr(source, "detach") and hasattr(source, "cpu"):  # a torch tensor, perhaps with a gradient or on a GPU
        source = source.detach().cpu()
    if not hasattr(source, "__array__"):
        raise InvalidRequest(
            f"photo: a file, its bytes, an array or a PIL image is needed, not {type(source).__name__}"
        )
    return _from_array(np.asarray(source))


def load_photo(source: Path | str | bytes | os.PathLike[str]) -> Picture:
    """Read a picture file, turned upright by its EXIF orientation, alpha over white; raises NotAnImage."""
    name = "the image" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(Path(source), name)
    if not data:
        raise NotAnImage(f"{name}: empty")
    formats = _with_heif(data, name)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            return _checked(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except _DAMAGE as error:
        raise _unreadable(name) from error


def _read(path: Path, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise NotAnImage(f"{name}: a file is needed, not a directory or device")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotAnImage(f"{name}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise NotAnImage(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _with_heif(data: bytes, name: str) -> tuple[str, ...]:
    """The formats to try; HEIC, which phones send, needs a package of its own."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS:
        return FORMATS
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise NotAnImage(f"{name}: HEIC pictures need pillow-heif: pip install 'visard[heic]'") from error
    return ("HEIF", *FORMATS)


def _checked(image: Image.Image, name: str) -> Picture:
    """A PIL image as a picture, its faults as NotAnImage."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name)
    try:
        return _rgb(ImageOps.exif_transpose(image), name)
    except _DAMAGE as error:
        raise _unreadable(name) from error


def _rgb(image: Image.Image, name: str) -> Picture:
    if (
        image.mode.startswith("I") or image.mode == "F"
    ):  # 16 or 32 bits a pixel, grey: convert("RGB") would clip them to white
        try:
            return _from_array(np.asarray(image))
        except InvalidRequest as error:
            raise NotAnImage(f"{name}: {error}") from error
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _unreadable(name: str) -> NotAnImage:
    return NotAnImage(f"{name}: not a readable {_READ} image, or a damaged or cut off one")


def _too_large(name: str) -> NotAnImage:
    return NotAnImage(f"{name}: larger than {MAX_PIXELS // 1_000_000} megapixels")


def _from_array(array: npt.NDArray[Any]) -> Picture:
    """An array as a picture; raises InvalidRequest."""
    levels = _eight_bits(_rows_first(array))
    if levels.shape[2] == 4:
        alpha = levels[:, :, 3:].astype(np.float32) / 255
        levels = np.rint(levels[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels)


def _rows_first(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As (H, W, C)."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise InvalidRequest(f"photo: an array of shape {array.shape}: {_ARRAYS}")
    last, first = array.shape[2] in _CHANNELS, array.shape[0] in _CHANNELS
    if last and first and array.shape[1] not in _CHANNELS and array.shape[0] != 1:
        raise InvalidRequest(f"photo: an array of shape {array.shape} may be either way round: {_ARRAYS}")
    if not last and not first:
        raise InvalidRequest(f"photo: an array of shape {array.shape}: {_ARRAYS}")
    if array.size > 4 * MAX_PIXELS:
        raise InvalidRequest(f"photo: larger than {MAX_PIXELS // 1_000_000} megapixels")
    return array if last else array.transpose(1, 2, 0)


def _eight_bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Numbers as levels of 0 to 255: 16-bit ones divided by 257, fractions of 0 to 1 multiplied by 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise InvalidRequest(f"photo: an array of {array.dtype}: {_ARRAYS}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 65535):  # also where one is no number
        raise InvalidRequest(f"photo: an array of {low:g} to {high:g}: {_ARRAYS}")
    if array.dtype.kind == "f":
        if high > 255 or 1 < high < 2:  # a little more than 1: which of the two ranges is meant?
            raise InvalidRequest(f"photo: an array of {low:g} to {high:g}: {_ARRAYS}")
        return np.rint(array.astype(np.float64) * (255 if high <= 1 else 1)).astype(np.uint8)
    return np.rint(array / 257 if high > 255 else array).astype(np.uint8)
