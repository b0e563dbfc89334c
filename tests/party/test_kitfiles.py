"""Kits on disk: private, whole or not at all, deleted before they are read, and never back below the floor, even for kill -9."""

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from visard_common import files
from visard_engine.errors import KitError
from visard_engine.kits import Kit, KitPlan, deal_kit, dealt_part
from visard_engine.sections import Section
from visard_party.kits import files as kitfiles
from visard_party.kits.files import KitDirectory

from tests.party.test_stock import part

PLAN = KitPlan(31, (Section("truncate", 100, 8),))
OTHER = KitPlan(31, (Section("truncate", 100, 9),))  # of the same size
MASTER = bytes(32)


@pytest.fixture
def directory(tmp_path: Path) -> KitDirectory:
    return KitDirectory(tmp_path / "kits", PLAN, 1)


def store(directory: KitDirectory, *numbers: int) -> None:
    for number in numbers:
        directory.store(number, part(deal_kit(PLAN, MASTER, number), 1))


def content(kit: Kit) -> list[np.ndarray]:
    """What the party knows of the kit's first values: its two summands, and the corrections."""
    value = kit.value(100)
    return [np.asarray(part) for part in vars(value).values()]


def stored_kit__should_be_taken_as_it_was_dealt(directory: KitDirectory) -> None:
    store(directory, 1)
    kit = directory.take(1, 2)
    expected = dealt_part(PLAN, 1, deal_kit(PLAN, MASTER, 1), 1)
    assert (kit.kit_id, kit.left, kit.tag) == (1, PLAN.correction_bytes, expected.tag)
    for got, right in zip(content(kit), content(expected), strict=True):
        np.testing.assert_array_equal(got, right)


def files__should_be_private(directory: KitDirectory, tmp_path: Path) -> None:
    store(directory, 1)
    directory.write_floor(2)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "kits").iterdir()} == {0o600}
    assert (tmp_path / "kits").stat().st_mode & 0o777 == 0o700


def kit__should_be_gone_and_the_floor_written_before_a_byte_is_read(
    directory: KitDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(directory, 1)
    seen: list[str] = []
    write, sync = directory.write_floor, files.sync_directory

    def written(floor: int) -> None:
        assert not (tmp_path / "kits" / "1.kit").exists()
        seen.append("floor")
        write(floor)

    def synced(path: Path) -> None:
        seen.append("deleted" if not (tmp_path / "kits" / "1.kit").exists() else "stored")
        sync(path)

    monkeypatch.setattr(directory, "write_floor", written)
    monkeypatch.setattr(kitfiles, "sync_directory", synced)
    directory.take(1, 2)
    assert seen[:2] == ["deleted", "floor"]


def kit__should_not_be_given_when_the_floor_cannot_be_written(
    directory: KitDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(directory, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kitfiles, "write_durably", full)
    with pytest.raises(OSError, match="No space"):
        directory.take(1, 2)
    assert KitDirectory(tmp_path / "kits", PLAN, 1).scan() == set()


def eight_takers(directory: KitDirectory) -> list[str]:
    """What each of eight threads got that take kit 1 at the same time, in order of the alphabet."""
    start, results = threading.Barrier(8), list[str]()

    def take() -> None:
        start.wait()
        try:
            directory.take(1, 2)
            results.append("kit")
        except KitError:
            results.append("gone")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def simultaneous_takers__should_get_one_kit_between_them(directory: KitDirectory) -> None:
    store(directory, 1)
    assert eight_takers(directory) == ["gone"] * 7 + ["kit"]


def floor__should_never_sink(directory: KitDirectory, tmp_path: Path) -> None:
    directory.write_floor(9)
    directory.write_floor(4)
    assert KitDirectory(tmp_path / "kits", PLAN, 1).read_floor() == 9


def floors_from_several_threads__should_end_at_the_highest(directory: KitDirectory) -> None:
    threads = [threading.Thread(target=directory.write_floor, args=(n,)) for n in range(2, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert directory.read_floor() == 39


@pytest.mark.parametrize("damage", ["other plan", "other number", "truncated", "longer", "other magic"])
def damaged_kit__should_be_refused_and_gone(directory: KitDirectory, tmp_path: Path, damage: str) -> None:
    store(directory, 1)
    path = tmp_path / "kits" / "1.kit"
    data = path.read_bytes()
    other = KitDirectory(tmp_path / "other", OTHER, 1)
    other.store(1, part(deal_kit(OTHER, MASTER, 1), 1))
    store(directory, 2)
    damaged = {
        "other plan": (tmp_path / "other" / "1.kit").read_bytes(),
        "other number": (tmp_path / "kits" / "2.kit").read_bytes(),
        "truncated": data[:-1],
        "longer": data + b"x",
        "other magic": b"VISARDK9" + data[8:],
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(KitError):
        directory.take(1, 2)
    assert not path.exists()
    assert directory.read_floor() == 2


def scan__should_find_whole_kits_and_remove_leftovers(directory: KitDirectory, tmp_path: Path) -> None:
    store(directory, 1, 2, 3)
    directory.write_floor(2)
    kits = tmp_path / "kits"
    (kits / "2.kit").write_bytes(b"")
    (kits / "4.tmp77").write_bytes(b"half")
    (kits / "floor.tmp77").write_bytes(b"9")
    assert directory.scan() == {1, 3}
    assert {path.name for path in kits.iterdir()} == {"1.kit", "3.kit", "floor"}
    assert directory.read_floor() == 2


def kit_set_aside__should_be_taken_no_more_and_be_read_as_it_came(directory: KitDirectory, tmp_path: Path) -> None:
    store(directory, 1, 2)
    directory.set_aside(1)
    after = KitDirectory(tmp_path / "kits", PLAN, 1)
    assert (after.scan(), after.scan_aside()) == ({2}, ({1}, set()))
    for one in (directory, after):
        with pytest.raises(KitError, match="gone"):
            one.take(1, 2)
        assert one.read_aside(1) == part(deal_kit(PLAN, MASTER, 1), 1)
    with pytest.raises(KitError, match="gone"):
        directory.set_aside(1)


def number_set_aside__should_be_remembered_until_the_floor_is_beyond_it(
    directory: KitDirectory, tmp_path: Path
) -> None:
    store(directory, 1, 2)
    for number in (1, 2):
        directory.set_aside(number)
    directory.finish_aside(2)
    directory.write_floor(2)
    directory.finish_aside(1)
    assert {path.name: path.stat().st_size for path in (tmp_path / "kits").glob("*.audit")} == {"2.audit": 0}
    assert KitDirectory(tmp_path / "kits", PLAN, 1).scan_aside() == (set(), {2})
    store(directory, 3)
    directory.set_aside(3)
    directory.write_floor(3)
    directory.finish_aside(3)  # what is needed no more goes with it
    assert {path.name for path in (tmp_path / "kits").glob("*.audit")} == {"3.audit"}
    directory.write_floor(4)
    assert KitDirectory(tmp_path / "kits", PLAN, 1).scan_aside() == (set(), set())
    assert {path.name for path in (tmp_path / "kits").iterdir()} == {"floor"}


def kit_taken__should_not_be_set_aside_by_who_comes_second(directory: KitDirectory) -> None:
    store(directory, 1)
    start, results = threading.Barrier(2), list[str]()

    def done(name: str, work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
            results.append(name)
        except KitError:
            results.append("gone")

    works = {"taken": partial(directory.take, 1, 2), "aside": partial(directory.set_aside, 1)}
    threads = [threading.Thread(target=done, args=item) for item in works.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) in (["gone", "taken"], ["aside", "gone"])


KILLED = """
import os, signal, sys
from pathlib import Path
from visard_party.kits.files import KitDirectory
from visard_party.kits.source import Fetched
from visard_engine.prss import PairKeys
from tests.party.test_kitfiles import PLAN

part = Fetched(PairKeys(b"o" * 16, b"p" * 16), b"t" * 32, bytes(PLAN.correction_bytes))

def life(home, left):
    KitDirectory(home, PLAN, 1).store(1, part)
    def counted(call):
        def counting(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return counting
    for name in ("open", "fsync", "unlink", "replace"):
        setattr(os, name, counted(getattr(os, name)))
    directory = KitDirectory(home, PLAN, 1)
    directory.store(2, part)
    (home / "stored").touch()
    directory.take(1, 2)

step, status = 0, None
while status != 0:
    home = Path(sys.argv[1]) / str(step)
    if (child := os.fork()) == 0:
        life(home, step)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(step, status, flush=True)
    step += 1
    if status not in (0, signal.SIGKILL):
        sys.exit("a child failed")
"""


def killed_at_any_step__should_leave_whole_kits_and_none_of_the_used(tmp_path: Path) -> None:
    """A process dies with SIGKILL at its n-th system call on files, for every n until it lives to the end."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lives = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(lives) > 8
    for step, status in lives:
        home = tmp_path / str(step)
        stored = (home / "stored").exists()
        after = KitDirectory(home, PLAN, 1)
        found, floor = after.scan(), after.read_floor()
        assert {path.name for path in home.iterdir()} <= {"1.kit", "2.kit", "floor"}
        assert found <= {1, 2}
        assert not stored or 2 in found
        assert stored or 1 in found
        assert floor == (1 if 1 in found else floor)
        if 2 in found:
            assert after.take(2, 3).kit_id == 2
        if status == 0:
            assert (found, floor) == ({2}, 2)
