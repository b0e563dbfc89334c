"""Many photos are enrolled once each, whatever ends in between; what is refused holds up nothing, and is told."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from visard import certs
from visard.bulk import BulkEnrolment, BulkItem, BulkProgress, judge, read_source
from visard.bulk.journal import Journal
from visard.client import Client, Connection
from visard.errors import InvalidRequest, NoFace, NotAnImage, Unreachable
from visard_common import errors as faults
from visard_common.errors import InvalidArgument

from tests.cells import label
from tests.client.keeping import Keeping, keeping
from tests.photos import PEOPLE

ALL = sum(PEOPLE.values())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bulk") / "certs"
    certs.init(path)
    return path


@pytest.fixture
async def served(authority: Path) -> AsyncIterator[tuple[Keeping, Connection]]:
    async with keeping(authority) as pair:
        yield pair


async def enrolled(connection: Connection, source: Path, retry: bool = True, **wishes: object) -> BulkEnrolment:
    """The outcome of one call by a program of its own."""
    async with Client(connection, retry=retry) as client:
        return await client.bulk.enrol(source, **({"force": True, "largest": True} | wishes))  # type: ignore[arg-type]


def journal_of(source: Path) -> Path:
    return source.with_name(f"{source.name}.visard-journal")


async def folder__should_be_enrolled_once(served: tuple[Keeping, Connection], people: Path) -> None:
    double, connection = served
    steps: list[BulkProgress] = []
    done = await enrolled(connection, people, told=steps.append)
    assert (done.total, done.enrolled, done.already, done.refused, done.left) == (ALL, ALL, 0, (), ())
    assert double.count() == PEOPLE
    assert double.calls["Enrol"] == len(PEOPLE), "a subject's photos go together"
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == ALL
    assert journal_of(people).stat().st_mode & 0o777 == 0o600
    again = await enrolled(connection, people)
    assert (again.enrolled, again.already) == (0, ALL)
    assert (double.count(), double.calls["Enrol"]) == (PEOPLE, len(PEOPLE))


async def photo__should_be_known_by_its_bytes(served: tuple[Keeping, Connection], people: Path) -> None:
    double, connection = served
    first, second = sorted((people / "Bono").iterdir())
    shutil.copy(first, people / "Bono" / "copy.jpg")
    assert (await enrolled(connection, people)).already == 1
    first.rename(people / "Bono" / "other.jpg")
    second.write_bytes((people / "Tara_Reid" / "Tara_Reid_0001.jpg").read_bytes())  # a better one, perhaps
    done = await enrolled(connection, people)
    assert (done.enrolled, double.count()["Bono"]) == (1, 3)


async def killed_at_any_line__should_enrol_nothing_twice_and_lose_nothing(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    """What a killed program leaves: a journal cut anywhere, and of the last requests some that were made and some not."""
    double, connection = served
    shutil.rmtree(people / "Ben_Affleck")
    held = {"Bono": 2, "Tara_Reid": 1}
    await enrolled(connection, people, batch=1, at_once=1)
    whole, made = journal_of(people).read_bytes(), dict(double.kept)
    lines = whole.splitlines(keepends=True)
    assert [next(iter(json.loads(line))) for line in lines[1:]] == ["sent", "made"] * 3
    for cut in range(1, len(lines) + 1):
        for torn, unheard_was_made in ((b"", True), (b"", False), (b'{"sent": "12', True)):
            left = [json.loads(line) for line in lines[1:cut]]
            heard = {line["made"] for line in left if "made" in line}
            sent = {line["sent"] for line in left if "sent" in line} if unheard_was_made else heard
            double.kept = {name: [one for one in own if one.request_id.hex() in sent] for name, own in made.items()}
            double.kept = {name: own for name, own in double.kept.items() if own}
            double.made = {one.request_id for own in double.kept.values() for one in own}
            journal_of(people).write_bytes(b"".join(lines[:cut]) + torn)
            done = await enrolled(connection, people, batch=1, at_once=1)
            assert done.enrolled + done.already == 3, cut
            assert double.count() == held, cut
            assert (await enrolled(connection, people)).already == 3


async def request_that_ends_only_now__should_be_found_out_about(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    """A listing does not show it yet; the next request stands for it, is refused, and the listing shows it then."""
    double, connection = served
    await enrolled(connection, people)
    lines = [line for line in journal_of(people).read_text().splitlines() if "Tara_Reid" not in line or "sent" in line]
    journal_of(people).write_text("\n".join(lines) + "\n")
    double.hidden = 1
    done = await enrolled(connection, people)
    assert (done.enrolled, done.already, done.refused) == (0, ALL, ())
    assert double.count() == PEOPLE
    assert double.attempts["Enrol"][-1].instead_of


async def lost_answers__should_not_be_enrolled_twice(served: tuple[Keeping, Connection], people: Path) -> None:
    double, connection = served
    double.lost = 2
    done = await enrolled(connection, people, retry=False)
    assert done.enrolled + done.already == ALL
    assert double.count() == PEOPLE
    double.faults = [faults.Aborted("undone")]
    shutil.copytree(people / "Bono", people / "bono.2")
    assert (await enrolled(connection, people)).enrolled == PEOPLE["Bono"]
    assert double.count() == PEOPLE | {"bono.2": PEOPLE["Bono"]}


async def services_that_are_away__should_leave_photos_for_the_next_time(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    double, connection = served
    double.faults = [faults.Unavailable("a party is away")] * 100
    done = await enrolled(connection, people, retry=False)
    assert (done.enrolled, done.refused) == (0, ())
    assert {one.kind for one in done.left} == {"Unavailable"}
    assert len(done.left) == ALL
    double.faults = []
    done = await enrolled(connection, people)
    assert (done.enrolled, double.count()) == (ALL, PEOPLE)
    assert all(request.instead_of for request in double.attempts["Enrol"][-len(PEOPLE) :]), "each may have arrived"


async def refused_photos__should_be_told_and_hold_up_no_other(served: tuple[Keeping, Connection], people: Path) -> None:
    double, connection = served
    (people / "Bono" / "no.jpg").write_bytes(b"no picture")
    (people / "top.jpg").write_bytes(b"of nobody")
    (people / "Bono" / "notes.txt").write_text("passed over")
    (people / "Tara Reid").mkdir()
    shutil.copy(people / "Tara_Reid" / "Tara_Reid_0001.jpg", people / "Tara Reid")
    done = await enrolled(connection, people)
    assert {(one.subject, one.file.name): one.kind for one in done.refused} == {
        ("", "top.jpg"): "InvalidRequest",
        ("Bono", "no.jpg"): "NotAnImage",
        ("Tara Reid", "Tara_Reid_0001.jpg"): "InvalidRequest",
    }
    assert (done.enrolled, double.count()) == (ALL, PEOPLE)


async def batch_that_the_services_refuse__should_be_sent_photo_by_photo(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    double, connection = served
    await enrolled(connection, people, journal=people / "other")
    odd = next(one for one in double.received if one.request.subject == "Ben_Affleck").secret.reshape(3, -1)[1]
    double.kept, double.made, double.refuses = {}, set(), frozenset({int(odd.sum())})
    done = await enrolled(connection, people)
    assert [(one.subject, one.kind) for one in done.refused] == [("Ben_Affleck", "InvalidRequest")]
    assert double.count() == PEOPLE | {"Ben_Affleck": 2}
    double.refuses = frozenset()  # who was refused is asked about again, in the place of what was refused
    assert (await enrolled(connection, people)).enrolled == 1
    assert len(double.attempts["Enrol"][-1].instead_of) == 1
    assert double.count() == PEOPLE


async def replace__should_erase_only_what_was_before_the_journal(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    double, connection = served
    await enrolled(connection, people, journal=people / "first")
    await enrolled(connection, people, replace=True, batch=1)
    assert double.count() == PEOPLE
    shutil.copy(people / "Tara_Reid" / "Tara_Reid_0001.jpg", people / "Bono")
    await enrolled(connection, people, replace=True)
    assert double.count()["Bono"] == PEOPLE["Bono"] + 1


async def requests__should_be_as_many_at_a_time_as_the_gateway_takes(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    double, connection = served
    double.places, double.pause = 2, 0.05
    await enrolled(connection, people, batch=1)
    assert double.most_at_a_time == 2
    assert double.count() == PEOPLE


async def list__should_bring_notes_and_times(served: tuple[Keeping, Connection], people: Path) -> None:
    double, connection = served
    rows = [("ann", "Bono/Bono_0001.jpg", "door 7", "60"), ("ann", "Tara_Reid/Tara_Reid_0001.jpg", "", "")]
    (people / "a.csv").write_text("\ufeffsubject,file,note,ttl\n" + "".join(f"{','.join(row)}\n" for row in rows))
    (people / "a.jsonl").write_text(
        '{"subject": "ann", "file": "Bono/Bono_0001.jpg", "note": "door 7", "ttl": 60}\n\n'
        '{"subject": "ann", "file": "Tara_Reid/Tara_Reid_0001.jpg"}\n'
    )
    assert read_source(people / "a.csv") == read_source(people / "a.jsonl")
    assert read_source(people / "a.csv")[0] == BulkItem("ann", people / rows[0][1], "door 7", 60)
    assert (await enrolled(connection, people / "a.csv")).enrolled == 2
    sent = {(one.metadata, one.ttl_seconds) for one in double.kept["ann"]}
    assert sent == {(b"door 7", 60), (b"", 0)}


WRONG = {
    "subject,photo\na,b.jpg\n": "line 1: file missing",
    "subject,file,tll\na,b.jpg,3\n": "line 1: tll not known",
    "subject,file,ttl\na,b.jpg,soon\n": "line 2: ttl: whole seconds",
    "subject,file,ttl\na,b.jpg\n": "line 2: as many fields",
    "subject,file\na,\n": "line 2: subject, file",
}


@pytest.mark.parametrize("text", WRONG)
def wrong_list__should_be_refused_with_its_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidRequest, match=WRONG[text]):
        read_source(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"subject": 1, "file": "a"}', '{"subject": "a", "file": "b", "ttl": true}']
)
def wrong_line_of_json__should_be_refused_with_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"subject": "a", "file": "b"}\n' + line + "\n")
    with pytest.raises(InvalidRequest, match="line 2: "):
        read_source(tmp_path / "a.jsonl")
    with pytest.raises(InvalidRequest, match="a list"):
        read_source(tmp_path / "a.txt")


async def journal_that_is_not_ours__should_be_refused(
    served: tuple[Keeping, Connection], people: Path, tmp_path: Path
) -> None:
    double, connection = served
    await enrolled(connection, people)
    with Journal(journal_of(people), "face", 0), pytest.raises(InvalidRequest, match="another program"):
        await enrolled(connection, people)
    double.info.published_unix_ms = 7
    with pytest.raises(InvalidRequest, match="gallery or deployment"):
        await enrolled(connection, people)
    for text in ("nonsense\n", '{"visard_journal": 1, "model": "face", "published_unix_ms": 7}\n{"made": "00"}\n'):
        (tmp_path / "odd").write_text(text)
        with pytest.raises(InvalidRequest, match="damaged"):
            await enrolled(connection, people, journal=tmp_path / "odd")
    with pytest.raises(InvalidRequest, match="choose where"):
        await enrolled(connection, people, journal=tmp_path / "none" / "odd")
    assert double.count() == PEOPLE


def journal__should_name_only_so_many_earlier_requests_and_those_first_that_may_be_made(tmp_path: Path) -> None:
    soon = 1 << 60
    with Journal(tmp_path / "journal", "face", 0) as journal:

        def sent(number: int, expires: int = soon) -> str:
            request = f"{number:032x}"
            journal._append(
                {
                    "sent": request,
                    "subject": "ann",
                    "photos": ["p"],
                    "digest": "00",
                    "expires_unix_ms": expires,
                    "instead_of": [],
                }
            )
            return request

        sent(100, expires=1)  # nobody can make it any more
        refused = [sent(number) for number in range(10)]
        for one in journal.open_of("ann"):
            if one.request in refused:
                journal.refused(one, "no")
        assert journal.earlier("ann", ["other"]) == []
        named = journal.earlier("ann", ["p"])
        assert named == [bytes.fromhex(one) for one in reversed(refused[2:])]
        unheard = [sent(number) for number in range(20, 28)]
        assert journal.earlier("ann", ["p"]) == [bytes.fromhex(one) for one in unheard]
        sent(28)
        assert journal.earlier("ann", ["p"]) is None


async def dry_run__should_ask_nobody(people: Path) -> None:
    (people / "Bono" / "no.jpg").write_bytes(b"no picture")
    (people / "Bono" / "same.jpg").write_bytes((people / "Bono" / "Bono_0001.jpg").read_bytes())
    done = await judge(read_source(people), largest=True, force=True)
    assert (done.total, done.enrolled, done.already, len(done.refused)) == (ALL + 2, ALL, 1, 1)
    assert not journal_of(people).exists()


async def unreachable_services__should_be_said(people: Path, authority: Path) -> None:
    async with keeping(authority) as (_, connection):
        pass
    with pytest.raises(Unreachable):
        await enrolled(connection, people)


async def photos_of_a_folder__should_be_answered_in_their_order(
    served: tuple[Keeping, Connection], people: Path
) -> None:
    double, connection = served
    double.found = [[label(1, "ann")], []]
    files = [item.file for item in read_source(people)]
    files.insert(1, people / "missing.jpg")
    async with Client(connection) as client:
        found = [one async for one in client.bulk.identify(files, largest=True, force=True)]
        assert [one.file for one in found] == files
        assert [one.answer and one.answer.subject for one in found] == ["ann", None, *["ann"] * (ALL - 1)]
        assert isinstance(found[1].error, NotAnImage)
        async for one in client.bulk.identify(files, largest=True, force=True):
            assert one.answer is not None
            break  # what is under way is given up


async def faces_of_a_group__should_be_answered_from_left_to_right(
    served: tuple[Keeping, Connection], group: Path
) -> None:
    double, connection = served
    double.found = [[label(1, "ann")], []]
    async with Client(connection) as client:
        found = await client.bulk.faces(group, force=True)
        assert [one.answer and one.answer.subject for one in found] == ["ann"] * 3
        middles = [one.box[0] + one.box[2] / 2 for one in found]
        assert [int(middle // 250) for middle in middles] == [0, 1, 2]
        assert double.calls["Identify"] == 1, "all in one request"
        with pytest.raises(NoFace):
            await client.bulk.faces(bytes(blank(group)))


async def group_beyond_a_budget__should_be_asked_about_in_smaller_requests(
    served: tuple[Keeping, Connection], group: Path
) -> None:
    double, connection = served
    double.found = [[label(1, "ann")], []]
    double.faults = [InvalidArgument.of("request.images", "at most 2: each is an attempt at this gallery")]
    async with Client(connection) as client:
        found = await client.bulk.faces(group, force=True)
    assert [one.answer and one.answer.subject for one in found] == ["ann"] * 3
    assert [received.request.images for received in double.received] == [3, 1, 2]


def blank(beside: Path) -> bytes:
    Image.new("RGB", (300, 300)).save(beside.with_name("blank.png"))
    return beside.with_name("blank.png").read_bytes()
