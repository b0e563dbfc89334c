"""Which photos are to be enrolled: a folder with a folder a subject, or a list as CSV or JSON lines."""

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visard.bulk.outcomes import BulkItem
from visard.capture import is_picture
from visard.errors import InvalidRequest

COLUMNS = ("subject", "file", "note", "ttl")
_SUBJECT = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_LISTS = {".csv": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines"}


def read_source(source: Path | str) -> list[BulkItem]:
    """The photos that a source names; raises InvalidRequest, which names the line.

    A directory has a directory a subject, under the subject's name, with photos in it at any depth; what is not named as
    pictures are is passed over, and so is what begins with a dot. A list (.csv with a head line, .jsonl) has the columns
    subject, file, note and ttl (seconds), of which the last two may be missing; files are named from where the list lies.
    """
    source = Path(source)
    if source.is_dir():
        return list(_of_folder(source))
    if source.suffix.lower() not in _LISTS:
        raise InvalidRequest(f"{source}: a directory with a directory a subject, or a list: .csv or .jsonl")
    try:
        with source.open(encoding="utf-8-sig", newline="") as lines:
            rows = _of_csv(source, lines) if source.suffix.lower() == ".csv" else _of_json(source, lines)
            return [_item(source, line, row) for line, row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _of_folder(source: Path) -> Iterator[BulkItem]:
    """Every subject's photos, in order of name; a photo that lies in no subject's directory has an empty subject."""
    for entry in sorted(listed(source)):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from (BulkItem(entry.name, file) for file in _photos(entry))
        elif is_picture(entry):
            yield BulkItem("", entry)


def _photos(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith(".") and is_picture(Path(name)))


def _unreadable(error: OSError) -> None:
    raise InvalidRequest(f"{error.filename}: cannot be read: {error.strerror}") from error


def listed(folder: Path) -> list[Path]:
    """What lies in a directory; raises InvalidRequest."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InvalidRequest(f"{folder}: cannot be read: {error.strerror}") from error


def photos_of(folder: Path) -> list[Path]:
    """The photos that lie in a directory itself, in order of name; raises InvalidRequest where there is none."""
    found = [path for path in sorted(listed(folder)) if is_picture(path) and not path.name.startswith(".")]
    if not found:
        raise InvalidRequest(f"{folder}: no photos lie there")
    return found


def _of_csv(source: Path, lines: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        _check_columns(source, 1, reader.fieldnames or ())
        for row in reader:
            if None in row or None in row.values():
                raise InvalidRequest(f"{source}, line {reader.line_num}: as many fields as the first line has")
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidRequest(f"{source}, line {reader.line_num}: {error}") from error


def _of_json(source: Path, lines: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidRequest(f"{source}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InvalidRequest(f"{source}, line {number}: an object is needed")
        _check_columns(source, number, row)
        yield number, row


def _check_columns(source: Path, line: int, names: Any) -> None:
    """A name that is not known may be one that was mistyped."""
    if missing := [name for name in COLUMNS[:2] if name not in names]:
        raise InvalidRequest(f"{source}, line {line}: {' and '.join(missing)} missing; known are {', '.join(COLUMNS)}")
    if unknown := [str(name) for name in names if name not in COLUMNS]:
        raise InvalidRequest(f"{source}, line {line}: {', '.join(unknown)} not known; known are {', '.join(COLUMNS)}")


def _item(source: Path, line: int, row: dict[str, Any]) -> BulkItem:
    subject, file, note = row["subject"], row["file"], row.get("note") or ""
    if not all(isinstance(text, str) and _whole(text) for text in (subject, file, note)) or not file:
        raise InvalidRequest(f"{source}, line {line}: subject, file and note are texts, and file is not empty")
    return BulkItem(subject, source.parent / file, note, _seconds(source, line, row.get("ttl")))


def _whole(text: str) -> bool:
    """Whether UTF-8 can write it: JSON can hold halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _seconds(source: Path, line: int, ttl: object) -> int:
    """A list may leave it empty; JSON has it as a number."""
    text = "0" if ttl in ("", None) else str(ttl)
    if isinstance(ttl, bool) or not (text.isascii() and text.isdigit()) or int(text) >= 1 << 32:
        raise InvalidRequest(f"{source}, line {line}: ttl: whole seconds, 0 for never")
    return int(text)


def check_subject(subject: str) -> None:
    """Raises InvalidRequest for what is no subject's name, before a photo of it is looked at."""
    if not subject:
        raise InvalidRequest("the photo lies in no subject's directory, or its subject is empty")
    if not _SUBJECT.fullmatch(subject):
        raise InvalidRequest("subject: 1 to 128 of A-Z a-z 0-9 . _ @ -")
