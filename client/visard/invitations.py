"""Invitations to a registrar: links, whose secret is in the fragment, which browsers send to nobody; and their QR codes."""

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from visard_wire.limits import DEFAULT_GALLERY

from visard.errors import InvalidRequest
from visard.registrar.book import Book
from visard.registrar.config import KINDS, Folder

ROLES = {"client": "enroller"} | {kind: kind for kind in KINDS}  # as files of certificates are named, and as roles are
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GALLERY = re.compile(r"[a-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Invitation:
    """A link, for whom it is, as in "enroller/ada", until when, and how many certificates they have already."""

    link: str
    role: str
    until_unix_ms: int
    certificates: int


def invite(directory: Path, name: str, role: str, gallery: str | None, minutes: int) -> Invitation:
    """Invite one key to a role and name; raises InvalidRequest. Who has the link has the role: it is shown to nobody else."""
    invited = full(role, name)
    if gallery is not None and not _GALLERY.fullmatch(gallery):
        raise InvalidRequest("gallery: 1 to 64 of a-z 0-9 . _ -")
    folder = Folder(directory)
    page, now = folder.read().page, time.time_ns() // 1_000_000
    until = now + minutes * 60_000
    where = "" if gallery in (None, DEFAULT_GALLERY) else f"&gallery={quote(str(gallery))}"
    book = Book(folder.book)
    held = sum(one.role == invited and not one.revoked for one in book.valid(now))
    secret = book.invite(invited, now, until)
    return Invitation(f"{page}#invitation={secret}{where}", invited, until, held)


def full(role: str, name: str) -> str:
    """A role and name as certificates have them, "enroller/ada" of client and ada; raises InvalidRequest."""
    if role not in ROLES:
        raise InvalidRequest(f"role: one of {', '.join(ROLES)}; others are issued by visard certs")
    if not _NAME.fullmatch(name):
        raise InvalidRequest("name: 1 to 64 letters, digits, . _ and -")
    return f"{ROLES[role]}/{name}"


def draw(link: str) -> None:
    """The QR code of a link, on standard output."""
    import segno  # noqa: PLC0415 -- an extra's

    segno.make(link, error="l", micro=False).terminal(out=sys.stdout, compact=True)
