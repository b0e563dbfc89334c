"""Folders of real photos, a folder a subject, for work on many of them."""

import shutil
from pathlib import Path

from PIL import Image

PEOPLE = {"Bono": 2, "Tara_Reid": 1, "Ben_Affleck": 3}  # and how many photos of each
SIDE = 250  # pixels of an LFW photo


def photos_of(shared: Path, subject: str) -> list[Path]:
    """The first photos of somebody."""
    return sorted((shared / "data" / "lfw-dev" / subject).glob("*.jpg"))[: PEOPLE[subject]]


def folder_of_people(shared: Path, folder: Path, prefix: str = "") -> Path:
    """PEOPLE, copied to a folder a subject."""
    for subject in PEOPLE:
        own = folder / f"{prefix}{subject}"
        own.mkdir(parents=True)
        for file in photos_of(shared, subject):
            shutil.copy(file, own)
    return folder


def group(shared: Path, file: Path) -> Path:
    """One photo of all of them beside each other, in order."""
    picture = Image.new("RGB", (SIDE * len(PEOPLE), SIDE))
    for place, subject in enumerate(PEOPLE):
        with Image.open(photos_of(shared, subject)[0]) as photo:
            picture.paste(photo, (SIDE * place, 0))
    picture.save(file)
    return file
