"""Who may do what in a gallery, and making, changing and removing one.

A gallery's rules are rights (visard_party.store.contents.Right): each lets callers whose name fits a pattern enrol, verify or
search. Parties keep and judge them each for itself. A caller whom no rule lets do what is asked is told that there is no such
gallery, as if there were none. The gallery that always is lets everybody do everything until an administrator says otherwise.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby

from typing_extensions import override
from visard_common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from visard_common.limits import MAX_GALLERIES, RETRY_SECONDS
from visard_common.operations import Gallery
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.operations.rights import is_admin, needs_right, refusal
from visard_party.operations.ruling import Ruling
from visard_party.store.base import Store, all_rights
from visard_party.store.contents import May, Place, Right, Rule, counting_room, waiting_room

_EVERYBODY = "*"
UNCOUNTED = (
    "the gallery locks after failed verifications, and a migration is none that is counted: see docs/operations.md"
)
_ITS_OWN = (May.EXIST, May.LOCK)
OPEN = tuple(Right("", "", _EVERYBODY, DEFAULT_GALLERY, may) for may in (May.ENROL, May.VERIFY, May.SEARCH))


def in_force(gallery: str, rules: Sequence[Right]) -> Sequence[Right]:
    """The rules of a gallery, given what is stored of it; none where there is no such gallery."""
    return OPEN if gallery == DEFAULT_GALLERY and not rules else rules


def letting(rules: Iterable[Right], caller: str, may: str = "") -> Iterator[Right]:
    """Those of the rules that let a caller do something, or this."""
    for rule in rules:
        if rule.may not in _ITS_OWN and may in ("", rule.may) and fnmatchcase(caller, rule.grantee):
            yield rule


async def require(store: Store, gallery: str, caller: str, may: str) -> Sequence[Right]:
    """The rules of a gallery; raises NotFound unless there is such a one and they let the caller do this.

    Administrators may look at all.
    """
    rules = in_force(gallery, await store.rules(gallery))
    if not (rules if is_admin(caller) else any(letting(rules, caller, may))):
        raise NotFound(f"gallery {gallery!r} is none, or none where {caller or 'this caller'} may do this")
    return rules


async def require_entry(store: Store, asked: Asked) -> None:
    """Raise NotFound unless the request's caller may do in its gallery what it asks for; PermissionDenied for a part of it."""
    request, wanted = asked.request, asked.declared.gallery
    if wanted is Gallery.NONE or "rules" in asked.declared.fields:
        return
    rules = await require(store, Place.of(request).gallery, asked.caller, wanted.value)
    if asked.declared.also is not Gallery.NONE:
        await require(store, Place.of(request).gallery, asked.caller, asked.declared.also.value)
    if asked.declared.tells and any(rule.may == May.LOCK for rule in rules):
        raise FailedPrecondition(UNCOUNTED)
    compares = "request.unique" if request.unique else "request.review" if request.review else ""
    if compares and not any(letting(rules, asked.caller, May.SEARCH)):
        allowed = "false, for the gallery's rules do not let this caller search in it"
        raise PermissionDenied(f"{compares}: {allowed}", field=compares, allowed=allowed)


async def require_right(store: Store, prepared: Prepared) -> None:
    """Raise PermissionDenied unless the request's caller may change what it names, of each model."""
    request, caller = prepared.request, prepared.asked.caller
    for model in sorted({name.model for name in prepared.names}):
        foreign = needs_right(request, caller, [name for name in prepared.names if name.model == model])
        place = Place.of(request)._replace(model=model)
        if foreign and not await store.granted(place, request.subject, caller):
            raise refusal(request, caller)


async def counted(store: Store, asked: Asked) -> Asked:
    """A verification with what its gallery says of failures in a row; what is not counted as it is. Raises StoreError."""
    if not asked.declared.counted:
        return asked
    rules = await store.rules(Place.of(asked.request).gallery)
    return replace(asked, lock_after=next((int(rule.grantee) for rule in rules if rule.may == May.LOCK), 0))


async def require_same_count(store: Store, asked: Asked) -> None:
    """Raise Unavailable where the gallery says another thing of failures than when the request began to wait."""
    if (await counted(store, asked)).lock_after != asked.lock_after:
        raise Unavailable("the gallery's rules have just been changed", retry_after=RETRY_SECONDS)


def lock_rule(gallery: str, allowed: int) -> Right:
    """The rule that so many do."""
    return Right("", "", str(allowed), gallery, May.LOCK)


async def listed(store: Store, gallery: str, caller: str) -> list[tuple[str, list[Right]]]:
    """The galleries of which a caller is told, in order of name, or only this one, each with the rules that it is told."""
    stored = sorted(await store.rules(gallery), key=lambda rule: (rule.gallery, rule.may, rule.grantee))
    found = {name: list(rules) for name, rules in groupby(stored, key=lambda rule: rule.gallery)}
    if gallery in ("", DEFAULT_GALLERY):
        found.setdefault(DEFAULT_GALLERY, list(OPEN))
    told = []
    for name, rules in sorted(found.items()):
        shown = [rule for rule in rules if rule.may != May.EXIST]
        if not is_admin(caller):
            shown = [rule for rule in shown if rule.may == May.LOCK or any(letting([rule], caller))]
        if is_admin(caller) or any(letting(shown, caller)):
            told.append((name, shown))
    return told


class CreateGallery(Ruling):
    """Make a gallery, with its rules."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        gallery = asked.request.gallery
        stored = await resources.store.rules()
        if gallery == DEFAULT_GALLERY or any(rule.gallery == gallery for rule in stored):
            raise AlreadyExists(f"gallery {gallery!r} is there already: change its rules instead")
        if sum(rule.may == May.EXIST for rule in stored) >= MAX_GALLERIES:
            raise ResourceExhausted(f"there are {MAX_GALLERIES} galleries, as many as are allowed")
        return Prepared(asked, write=Rule(give=_stated(asked.request)))


class ChangeGallery(Ruling):
    """Other rules in the place of those that a gallery has."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        gallery = asked.request.gallery
        stored = await resources.store.rules(gallery)
        if not in_force(gallery, stored):
            raise NotFound(f"there is no gallery {gallery!r}")
        stated = _stated(asked.request)
        give = tuple(right for right in stated if right not in stored)
        take = tuple(right.right_id for right in stored if right not in stated)
        return Prepared(asked, names=[right.name for right in stored], write=Rule(give, take))


class DeleteGallery(Ruling):
    """Remove a gallery that has no references, and every right in it."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        gallery, store = asked.request.gallery, resources.store
        if gallery == DEFAULT_GALLERY:
            raise InvalidArgument.of("request.gallery", f"another than {DEFAULT_GALLERY!r}, which always is")
        if not await store.rules(gallery):
            raise NotFound(f"there is no gallery {gallery!r}")
        if await store.count_in(gallery) or await store.count_in(waiting_room(gallery)):
            raise FailedPrecondition(f"gallery {gallery!r} has references: delete its subjects first")
        if await store.count_in(counting_room(gallery)):  # an erasure and a verification have met
            raise FailedPrecondition(f"gallery {gallery!r} counts failures of who is gone: visard admin unlock")
        rights = [right for right in await all_rights(store) if right.gallery == gallery]
        return Prepared(
            asked, names=[right.name for right in rights], write=Rule(take=tuple(right.right_id for right in rights))
        )


def _stated(request: common_pb2.Request) -> tuple[Right, ...]:
    """A gallery's own right, and its rules as the request states them, in order of id."""
    rules = [Right("", "", rule.callers, request.gallery, May(rule.may)) for rule in request.rules]
    return tuple(sorted((Right("", "", "", request.gallery, May.EXIST), *rules), key=lambda right: right.right_id))
