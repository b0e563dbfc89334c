"""A picture that capture reads is found in a directory by everything that looks for pictures there: one list of suffixes."""

import ast
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, features
from visard.capture import SUFFIXES, is_picture, load_photo
from visard.capture.photos import FORMATS
from visard.owner import bring
from visard.owner.evaluation.pairs import read_pairs
from visard.owner.training import faces

from bench import leak

ROOT = Path(__file__).parents[2]
HEIF = (".heic", ".heif", ".hif")
PIXELS = np.full((100, 100, 3), 90, np.uint8)
SOME = [".jpg", ".PNG", ".webp", ".heic", ".bmp", ".tiff", ".tif", ".GIF", ".pgm", ".ppm", ".jpeg", ".HEIC"]


def save(path: Path) -> Path:
    """A grey picture in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in HEIF:
        pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(path)
    else:
        Image.fromarray(PIXELS).convert("L" if path.suffix == ".pgm" else "RGB").save(path)
    return path


def every_format_that_is_read__should_have_its_suffixes() -> None:
    known = Image.registered_extensions()
    kinds = {known[suffix] for suffix in SUFFIXES if suffix not in HEIF}
    assert kinds == set(FORMATS) | {"MPO"}
    assert (".avif" in SUFFIXES) == features.check("avif")


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES) | {".JPG", ".HEIC"}))
def file_with_a_suffix_of_the_list__should_be_read(suffix: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a{suffix}")
    assert is_picture(path)
    assert abs(load_photo(path).astype(int) - 90).max() <= 3
    assert not is_picture(path.with_suffix(".txt"))


def pictures_of_all_kinds__should_be_found_for_training_and_attack(tmp_path: Path) -> None:
    for k in range(10):
        for number, suffix in enumerate(SOME):
            save(tmp_path / f"p{k}" / f"{number}{suffix}")
        (tmp_path / f"p{k}" / "list.txt").write_text("none")
    assert len(faces.read_faces(tmp_path).pictures) == 10 * len(SOME)
    people = leak.read(tmp_path, (1, 20, 20), whole=True)
    assert len(people.own) + len(people.victims) == 10 * len(SOME)


def pictures_of_all_kinds__should_be_found_for_calibration(tmp_path: Path) -> None:
    for number, suffix in enumerate(SOME):
        save(tmp_path / f"{number}{suffix}")
    assert len(bring._pictures(tmp_path, (1, 20, 20))) == len(SOME)


@pytest.mark.parametrize("suffix", SOME)
def pair__should_be_found_whatever_the_kind_of_its_images(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ann 1 2\nbob 1 2\nann 1 bob 1\nann 2 bob 2\n")
    named = [save(tmp_path / name / f"{name}_{k:04d}{suffix}") for name in ("ann", "bob") for k in (1, 2)]
    assert sorted(read_pairs(tmp_path / "list", tmp_path).images) == named
    for path in named:  # and by their places, where they are named in another way
        path.rename(path.with_stem(path.stem[-1]))
    placed = read_pairs(tmp_path / "list", tmp_path).images
    assert [path.name for path in placed] == [f"{k}{suffix}" for k in (1, 2, 1, 2)]


def list_of_suffixes__should_be_the_only_one() -> None:
    lists = []
    for path in sorted((ROOT / "client").rglob("*.py")) + sorted((ROOT / "bench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
                named = {item.value for item in node.elts if isinstance(item, ast.Constant)}
                lists += [str(path.relative_to(ROOT))] if len(named & set(SUFFIXES)) > 1 else []
    assert set(lists) == {"client/visard/capture/photos.py"}
