"""What the services tell of themselves and of what they keep, to whoever may look."""

from visard_wire.v1 import gateway_pb2

from visard import received
from visard.calls import Caller, filled, named
from visard.results import Status, StoredReference, SubjectCount


async def subjects(caller: Caller, model: str, *, waiting: bool = False) -> list[SubjectCount]:
    """Everybody who is enrolled with a model in the caller's gallery, in order of name; or who waits there for a review."""
    found: list[SubjectCount] = []
    token = ""
    while True:
        page = await _page(caller, model, token, waiting=waiting)
        found += [received.taken(SubjectCount, subject) for subject in page.subjects]
        if not (token := page.next_page_token):
            return found


async def _page(caller: Caller, model: str, token: str, *, waiting: bool) -> gateway_pb2.ListSubjectsResponse:
    ask = filled(
        gateway_pb2.ListSubjectsRequest(),
        model=model,
        page_token=token,
        gallery=named(caller.gallery),
        waiting=waiting,
    )
    return await caller.again(lambda left: caller.matching.ListSubjects(ask, timeout=left))


async def references(caller: Caller, subject: str, *, waiting: bool) -> list[StoredReference]:
    """What is kept about a subject in the caller's model and gallery; raises NotFound."""
    ask = filled(
        gateway_pb2.ListReferencesRequest(),
        model=caller.model,
        subject=subject,
        gallery=named(caller.gallery),
        waiting=waiting,
    )
    response = await caller.again(lambda left: caller.matching.ListReferences(ask, timeout=left))
    return [received.stored_reference(info) for info in response.references]


async def status(caller: Caller, *, layers: bool) -> Status:
    """How the services are, as the gateway and the three parties tell it."""
    ask = filled(gateway_pb2.GetStatusRequest(), layers=layers)
    response = await caller.again(lambda left: caller.matching.GetStatus(ask, timeout=left))
    return received.status(response)
