"""Kits in memory: up to a number of bytes, given once, after the floor is on disk; a crash loses them and brings none back."""

import subprocess
import sys
from pathlib import Path

import pytest
from visard_engine.errors import KitError
from visard_engine.kits import deal_kit
from visard_party.kits import files as kitfiles
from visard_party.kits.files import KitDirectory
from visard_party.kits.memory import KitMemory

from tests.party.test_kitfiles import MASTER, OTHER, PLAN, content, eight_takers, store
from tests.party.test_stock import part

TWO = 2 * PLAN.correction_bytes


@pytest.fixture
def memory() -> KitMemory:
    return KitMemory(TWO)


@pytest.fixture
def directory(tmp_path: Path, memory: KitMemory) -> KitDirectory:
    return KitDirectory(tmp_path / "kits", PLAN, 1, memory=memory)


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "kits").iterdir()}


def kit__should_be_the_same_in_memory_and_on_disk(directory: KitDirectory, tmp_path: Path, memory: KitMemory) -> None:
    store(directory, 1, 2, 3)
    assert names(tmp_path) == {"3.kit"}, "two fit"
    assert directory.scan() == {1, 2, 3}
    kits = {number: directory.take(number, number + 1) for number in (1, 3)}
    assert memory.used_bytes == PLAN.correction_bytes
    for number, kit in kits.items():
        other = KitDirectory(tmp_path / "others", PLAN, 1)
        store(other, number)
        right = other.take(number, number + 1)
        assert (kit.kit_id, kit.tag, kit.left) == (right.kit_id, right.tag, right.left)
        assert all((got == want).all() for got, want in zip(content(kit), content(right), strict=True))
    store(directory, 4)
    assert names(tmp_path) == {"floor"}, "there is room again"


def kit_in_memory__should_be_given_when_the_floor_is_written_and_not_before(
    directory: KitDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(directory, 1, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(kitfiles, "write_durably", full)
        with pytest.raises(OSError, match="No space"):
            directory.take(1, 2)
    with pytest.raises(KitError, match="gone"):
        directory.take(1, 2)
    assert directory.take(2, 1).kit_id == 2
    assert KitDirectory(tmp_path / "kits", PLAN, 1).read_floor() == 3, "whatever floor the caller names"


def simultaneous_takers__should_get_one_kit_between_them(directory: KitDirectory) -> None:
    store(directory, 1)
    assert eight_takers(directory) == ["gone"] * 7 + ["kit"]


def kit_set_aside__should_be_on_disk_before_anybody_is_asked_about_it(
    directory: KitDirectory, tmp_path: Path, memory: KitMemory
) -> None:
    store(directory, 1, 2)
    directory.set_aside(1)
    after = KitDirectory(tmp_path / "kits", PLAN, 1, memory=KitMemory(TWO))  # as after a crash
    assert (after.scan(), after.scan_aside()) == (set(), ({1}, set()))
    for one in (directory, after):
        assert one.read_aside(1) == part(deal_kit(PLAN, MASTER, 1), 1)
        with pytest.raises(KitError, match="gone"):
            one.take(1, 2)
    with pytest.raises(KitError, match="gone"):
        directory.set_aside(1)
    assert memory.used_bytes == PLAN.correction_bytes


def deleted_kit__should_leave_the_memory(directory: KitDirectory, tmp_path: Path, memory: KitMemory) -> None:
    store(directory, 1, 2, 3)
    directory.delete({1, 2, 3, 4})
    assert (memory.used_bytes, names(tmp_path)) == (0, set())


def plans__should_share_the_room_and_nothing_else(directory: KitDirectory, tmp_path: Path, memory: KitMemory) -> None:
    other = KitDirectory(tmp_path / "other", OTHER, 1, memory=memory)
    store(directory, 1)
    other.store(1, part(deal_kit(OTHER, MASTER, 1), 1))
    other.store(2, part(deal_kit(OTHER, MASTER, 2), 1))
    assert other.scan() == {1, 2}
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["2.kit"]
    again = KitDirectory(tmp_path / "kits", PLAN, 1, memory=memory)  # its shelf gave way to others meanwhile
    assert again.scan() == {1}
    memory.keep_only({OTHER.digest})
    assert (again.scan(), other.scan()) == (set(), {1, 2})


KILLED = """
import os, signal, sys
from pathlib import Path
from visard_party.kits.files import KitDirectory
from visard_party.kits.memory import KitMemory
from visard_party.kits.source import Fetched
from visard_engine.prss import PairKeys
from tests.party.test_kitfiles import PLAN

part = Fetched(PairKeys(b"o" * 16, b"p" * 16), b"t" * 32, bytes(PLAN.correction_bytes))

def life(home, left):
    directory = KitDirectory(home, PLAN, 1, memory=KitMemory(1 << 30))
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
    for number in (1, 2, 3):
        directory.store(number, part)
    directory.take(2, 3)
    os.write(1, b"used 2\\n")
    directory.set_aside(3)
    os.write(1, b"aside 3\\n")

step, status = 0, None
while status != 0:
    home = Path(sys.argv[1]) / str(step)
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        life(home, step)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("end", status, flush=True)
    step += 1
    if status not in (0, signal.SIGKILL):
        sys.exit("a child failed")
"""


def killed_at_any_step__should_have_used_nothing_that_can_be_used_again(tmp_path: Path) -> None:
    """A process dies with SIGKILL at its n-th system call on files, for every n until it lives to the end."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lives = [life.split("\n") for life in done.stdout.split("end")][:-1]
    assert len(lives) > 6
    for step, said in enumerate(lives):
        after = KitDirectory(tmp_path / str(step), PLAN, 1, memory=KitMemory(1 << 30))
        assert after.scan() == set(), "what was in memory is lost"
        pending, finished = after.scan_aside()
        assert "used 2" not in said or after.read_floor() == 3
        assert after.read_floor() in (1, 3)
        assert "aside 3" not in said or pending == {3}
        assert (pending | finished) <= {3}
