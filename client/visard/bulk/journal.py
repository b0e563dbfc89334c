"""What was sent, and what became of it: a file that a killed program leaves behind for the next one to go on from.

A line of JSON each, appended and on the disk before anything depends on it: ``sent`` before a request leaves, ``made`` when its
references are stored, ``refused`` when the services said no. From a request's digest follow the ids of the references that it
makes, so that a listing shows whether it was made although nobody has heard its answer.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from visard_wire.limits import DEFAULT_GALLERY, MAX_INSTEAD

from visard.errors import InvalidRequest

FORMAT = 1
# after a request has expired nobody begins it, and the longest run is shorter: what a listing then does not show will never be
_SETTLED_MS = 20 * 60 * 1000


@dataclass
class Sent:
    """A request that has left, or was about to: of which photos (SHA-256 of each, in order), and the digest that it has signed.

    ``refused``: the services' word that it was not made, for which nobody vouches.
    """

    request: str
    subject: str
    photos: tuple[str, ...]
    digest: str
    expires_unix_ms: int
    refused: bool = False

    @property
    def reference_ids(self) -> list[str]:
        """The ids of what it stores, if it is made: as the parties name them."""
        named = b"visard reference v1" + bytes.fromhex(self.digest)
        return [hashlib.sha256(named + bytes([k])).hexdigest()[:32] for k in range(len(self.photos))]


@dataclass
class Journal:
    """The journal of one source at one model and gallery of one deployment. Use it as ``with``: it is one program's at a time."""

    path: Path
    model: str
    published_unix_ms: int
    gallery: str = DEFAULT_GALLERY
    _made: set[tuple[str, str]] = field(default_factory=set)  # subject and photo
    _subjects: set[str] = field(default_factory=set)  # of which something was made
    _open: dict[str, dict[str, Sent]] = field(default_factory=dict)  # by subject, by request
    _instead: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of a request: those that it stands for
    _file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Read what is there; raises InvalidRequest for another deployment's journal, one in use, and one that is damaged."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise InvalidRequest(f"{self.path}: {error.strerror}: choose where the journal lies (journal)") from error
        self._file = os.fdopen(descriptor, "r+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(self._file)
        except BaseException as error:
            self.__exit__()
            if isinstance(error, BlockingIOError):
                raise InvalidRequest(f"{self.path}: another program is enrolling by this journal") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, for another program to go on."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def holds(self, subject: str, photo: str) -> bool:
        """Whether this photo of this subject was enrolled."""
        return (subject, photo) in self._made

    def has_made(self, subject: str) -> bool:
        """Whether anything of this subject was enrolled."""
        return subject in self._subjects

    def open_of(self, subject: str) -> list[Sent]:
        """Requests whose outcome nobody knows, oldest first."""
        return list(self._open.get(subject, {}).values())

    def earlier(self, subject: str, photos: Iterable[str]) -> list[bytes] | None:
        """The ids that a new request for these photos has to stand for; None where they are more than it can name for now.

        Where they are too many those go first that were refused: nobody vouches for it, but nothing speaks against it.
        """
        wanted, now = set(photos), time.time_ns() // 1_000_000
        live = [one for one in self.open_of(subject) if wanted & set(one.photos)]
        live = [one for one in live if one.expires_unix_ms + _SETTLED_MS > now]
        if len(live) > MAX_INSTEAD:
            live = [one for one in live if not one.refused] + [one for one in reversed(live) if one.refused]
            if sum(not one.refused for one in live) > MAX_INSTEAD:
                return None
        return [bytes.fromhex(one.request) for one in live[:MAX_INSTEAD]]

    def sent(self, sent: Sent, instead_of: Sequence[bytes], files: Sequence[str]) -> None:
        """Before a request leaves: that it may be made from now on. ``files`` are for whoever reads the journal."""
        line = {
            "sent": sent.request,
            "subject": sent.subject,
            "photos": sent.photos,
            "files": list(files),
            "digest": sent.digest,
            "expires_unix_ms": sent.expires_unix_ms,
            "instead_of": [earlier.hex() for earlier in instead_of],
        }
        self._append(line)

    def made(self, sent: Sent) -> None:
        """That a request was made: its photos are enrolled, and none of those that it stands for ever will be."""
        self._append({"made": sent.request, "subject": sent.subject, "references": sent.reference_ids})

    def refused(self, sent: Sent, why: str) -> None:
        """That the services have refused it."""
        self._append({"refused": sent.request, "subject": sent.subject, "why": why})

    def _append(self, line: dict[str, Any]) -> None:
        self._write(line)
        self._note(line)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _note(self, line: dict[str, Any]) -> None:
        subject = str(line["subject"])
        requests = self._open.setdefault(subject, {})
        if request := line.get("sent"):
            photos, expires = tuple(line["photos"]), int(line["expires_unix_ms"])
            requests[request] = Sent(request, subject, photos, line["digest"], expires)
            self._instead[request] = tuple(line["instead_of"])
        elif request := line.get("made"):
            self._made.update((subject, photo) for photo in requests[request].photos)
            self._subjects.add(subject)
            for over in (request, *self._instead[request]):
                requests.pop(over, None)
        elif request := line.get("refused"):
            requests[request].refused = True

    def _read(self, file: BinaryIO) -> None:
        """What is written; a line that the end of a program has cut off was not yet depended upon, and is taken away."""
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            file.truncate(len(whole))
        head = {"visard_journal": FORMAT, "model": self.model, "published_unix_ms": self.published_unix_ms}
        if self.gallery != DEFAULT_GALLERY:
            head["gallery"] = self.gallery
        if not whole:
            self._write(head)
            _keep_name(self.path.parent)
            return
        number = 0
        try:
            for number, line in enumerate(whole.splitlines(), 1):
                read = json.loads(line)
                if number > 1:
                    self._note(read)
                elif read.get("visard_journal") != FORMAT:
                    raise ValueError
                elif read != head:
                    raise InvalidRequest(
                        f"{self.path}: what it tells of was enrolled with another model, in another gallery or deployment: "
                        "name another file (journal), or remove it"
                    )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(f"{self.path}, line {number}: no journal of visard, or a damaged one") from error


def _keep_name(folder: Path) -> None:
    """A new file's name is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def beside(source: Path) -> Path:
    """Where a source's journal lies if nobody says otherwise: next to it, not in it."""
    source = source.absolute()
    return source.with_name(f"{source.name}.visard-journal")
