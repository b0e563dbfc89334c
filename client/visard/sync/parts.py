"""The parts of the client without async: what owners, administrators and those with many photos ask, blocking."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from visard.admin import Admin
from visard.auditlog import PartyLog
from visard.bulk import MAX_BATCH, Bulk, BulkEnrolment, BulkItem, SearchedFace, SearchedPhoto, Told
from visard.capture import Chip, Source
from visard.galleries import Callers, ExportedGallery, Galleries, ImportedGallery, Listed
from visard.registry import Models
from visard.results import Audit, Gallery, Holdings, ModelInfo, Right

T = TypeVar("T")
Infos = list[ModelInfo]
Photo = Source | Chip


class Run(Protocol):
    """What waits for work of the asynchronous client, in its loop; raises NotOpen where there is none."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """The work's answer, or its error."""


class SyncModels:
    """See visard.registry.Models."""

    def __init__(self, models: Models, run: Run) -> None:
        self._models = models
        self._run = run

    def list(self, *, layers: bool = False) -> Infos:
        """See Models.list."""
        return self._run(self._models.list(layers=layers))

    def info(self, name: str = "") -> ModelInfo:
        """See Models.info."""
        return self._run(self._models.info(name))

    def publish(self, name: str, program: bytes, digest: bytes, weights: npt.NDArray[np.int64], q: int) -> None:
        """See Models.publish."""
        self._run(self._models.publish(name, program, digest, weights, q))

    def set_points(
        self,
        name: str,
        points: Mapping[str, float],
        rates: Mapping[str, float] | None = None,
        *,
        allow_loose: bool = False,
    ) -> None:
        """See Models.set_points."""
        self._run(self._models.set_points(name, points, rates, allow_loose=allow_loose))

    def withdraw(self, name: str) -> None:
        """See Models.withdraw."""
        self._run(self._models.withdraw(name))


class SyncGalleries:
    """See visard.galleries.Galleries."""

    def __init__(self, galleries: Galleries, run: Run) -> None:
        self._galleries = galleries
        self._run = run

    def list(self) -> Listed:
        """See Galleries.list."""
        return self._run(self._galleries.list())

    def describe(self, name: str) -> Gallery:
        """See Galleries.describe."""
        return self._run(self._galleries.describe(name))

    def create(
        self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = (), lock_after: int = 0
    ) -> None:
        """See Galleries.create."""
        self._run(self._galleries.create(name, enrol=enrol, verify=verify, search=search, lock_after=lock_after))

    def change(
        self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = (), lock_after: int = 0
    ) -> None:
        """See Galleries.change."""
        self._run(self._galleries.change(name, enrol=enrol, verify=verify, search=search, lock_after=lock_after))

    def delete(self, name: str) -> None:
        """See Galleries.delete."""
        self._run(self._galleries.delete(name))


class SyncAdmin:
    """See visard.admin.Admin."""

    def __init__(self, admin: Admin, run: Run) -> None:
        self._admin = admin
        self._run = run

    def audit(self) -> Audit:
        """See Admin.audit."""
        return self._run(self._admin.audit())

    def holdings(self, prefixes: Sequence[str]) -> list[list[Holdings]]:
        """See Admin.holdings."""
        return self._run(self._admin.holdings(prefixes))

    def refresh(self) -> int:
        """See Admin.refresh."""
        return self._run(self._admin.refresh())

    def recover(self, party: int) -> int:
        """See Admin.recover."""
        return self._run(self._admin.recover(party))

    def grant(self, grantee: str, subject: str = "") -> None:
        """See Admin.grant."""
        self._run(self._admin.grant(grantee, subject))

    def revoke(self, grantee: str, subject: str = "") -> None:
        """See Admin.revoke."""
        self._run(self._admin.revoke(grantee, subject))

    def recipients(self) -> bytes:
        """See Admin.recipients."""
        return self._run(self._admin.recipients())

    def export_gallery(
        self, to: str, recipients: bytes, file: Path, told: Callable[[int], object] | None = None
    ) -> ExportedGallery:
        """See Admin.export_gallery; ``told`` is called in the client's thread."""
        return self._run(self._admin.export_gallery(to, recipients, file, told))

    def import_gallery(self, source: str, file: Path, told: Callable[[int], object] | None = None) -> ImportedGallery:
        """See Admin.import_gallery; ``told`` is called in the client's thread."""
        return self._run(self._admin.import_gallery(source, file, told))

    def unlock(self, subject: str = "") -> int:
        """See Admin.unlock."""
        return self._run(self._admin.unlock(subject))

    def rights(self) -> list[Right]:
        """See Admin.rights."""
        return self._run(self._admin.rights())

    def audit_log(self, since_unix_ms: int = 0) -> list[PartyLog]:
        """See Admin.audit_log."""
        return self._run(self._admin.audit_log(since_unix_ms))


class SyncBulk:
    """See visard.bulk.Bulk."""

    def __init__(self, bulk: Bulk, run: Run) -> None:
        self._bulk = bulk
        self._run = run

    def enrol(
        self,
        source: Path | str | Sequence[BulkItem],
        *,
        journal: Path | None = None,
        largest: bool = False,
        force: bool = False,
        replace: bool = False,
        unique: bool = False,
        batch: int = MAX_BATCH,
        at_once: int = 0,
        told: Told | None = None,
    ) -> BulkEnrolment:
        """See Bulk.enrol; ``told`` is called in the client's thread."""
        work = self._bulk.enrol(
            source,
            journal=journal,
            largest=largest,
            force=force,
            replace=replace,
            unique=unique,
            batch=batch,
            at_once=at_once,
            told=told,
        )
        return self._run(work)

    def identify(
        self,
        files: Sequence[Path],
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> Iterator[SearchedPhoto]:
        """See Bulk.identify."""
        answers = self._bulk.identify(
            files,
            operating_point=operating_point,
            largest=largest,
            allow_large_gallery=allow_large_gallery,
            nearest=nearest,
            force=force,
            at_once=at_once,
        )

        async def following() -> SearchedPhoto | None:
            return await anext(answers, None)

        try:
            while (answer := self._run(following())) is not None:
                yield answer
        finally:
            self._run(answers.aclose())

    def faces(
        self,
        photo: Photo,
        *,
        operating_point: str = "",
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> list[SearchedFace]:
        """See Bulk.faces."""
        work = self._bulk.faces(
            photo,
            operating_point=operating_point,
            allow_large_gallery=allow_large_gallery,
            nearest=nearest,
            force=force,
            at_once=at_once,
        )
        return self._run(work)
