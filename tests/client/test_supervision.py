"""What ends is started again, later each time it ends at once, and said so. Pure: a cluster without processes, and a clock."""

from dataclasses import dataclass, field

from visard.supervision import PAUSES, STEADY_SECONDS, Supervisor


@dataclass
class Process:
    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode


@dataclass
class FakeCluster:
    """What a supervisor needs of a cluster."""

    processes: dict[str, Process] = field(default_factory=lambda: {"party0": Process(), "party1": Process()})
    spawned: list[str] = field(default_factory=list)

    def last_words(self, name: str) -> str:
        return f"the end of {name}"

    def buried(self, name: str) -> None:
        del self.processes[name]

    def spawn(self, name: str) -> None:
        self.processes[name] = Process()
        self.spawned.append(name)


@dataclass
class Scene:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    told: list[str] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.cluster, self.told.append, lambda: self.now)  # type: ignore[arg-type]

    def at(self, now: float) -> list[str]:
        """What is said when one looks at this time."""
        self.now, before = now, len(self.told)
        self.supervisor.look()
        return self.told[before:]


def running_services__should_be_left_alone() -> None:
    scene = Scene()
    assert [scene.at(now) for now in (0, 1, 100)] == [[], [], []]


def service_that_ends__should_be_started_after_a_pause_once() -> None:
    scene = Scene()
    scene.cluster.processes["party1"].returncode = -9
    assert scene.at(10) == ["party1 has ended (killed by SIGKILL); it is started again in 1 s"]
    assert scene.at(10.5) == []
    assert scene.at(11) == ["party1 is started again"]
    assert (scene.at(12), scene.cluster.spawned) == ([], ["party1"])


def service_that_fails_again_and_again__should_be_started_ever_later() -> None:
    scene, now, pauses = Scene(), 0.0, []
    for _ in range(9):
        scene.cluster.processes["party0"].returncode = 1
        (line,) = scene.at(now)
        assert "status 1): the end of party0" in line
        pauses.append(float(line.split()[-2]))
        now += pauses[-1]
        assert scene.at(now) == ["party0 is started again"]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    scene.cluster.processes["party0"].returncode = 1
    assert scene.at(now + STEADY_SECONDS + 1)[0].endswith(f"in {PAUSES[0]:g} s")
