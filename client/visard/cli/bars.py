"""How far long work is: a bar where standard error is a terminal, else a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, Progress, TextColumn

from visard.cli.output import err

if TYPE_CHECKING:  # with it comes what looks at photos
    from visard.bulk import BulkProgress

_EVERY = 10.0  # seconds between lines
T = TypeVar("T")


def pace(progress: "BulkProgress", seconds: float) -> str:
    """How far work is after so many seconds, how fast it goes, and how long it will take at that: what was done before
    took no time, and is not counted in the rate."""
    worked = progress.done - progress.already
    parts = [f"{progress.done} of {progress.total} photos"]
    if worked and seconds > 0:
        rate = worked / seconds
        parts += [f"{rate:.1f} a second", f"{_span((progress.total - progress.done) / rate)} left"]
    if progress.refused or progress.left:
        parts.append(f"{progress.refused} refused" + (f", {progress.left} failed" if progress.left else ""))
    return ", ".join(parts)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def counting() -> Iterator[Callable[["BulkProgress"], None]]:
    """What takes each step of the work, and shows it."""
    began = time.monotonic()
    if not err.is_terminal:
        yield _lines(began)
        return
    with Progress(BarColumn(), TextColumn("{task.description}", markup=False), console=err, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(progress: "BulkProgress") -> None:
            text = pace(progress, time.monotonic() - began)
            bar.update(task, total=progress.total, completed=progress.done, description=text)

        yield show


def _lines(began: float) -> Callable[["BulkProgress"], None]:
    return every(lambda progress: err.print(pace(progress, time.monotonic() - began)))


def every(show: Callable[[T], object]) -> Callable[[T], None]:
    """What shows a step of work if the last one that it has shown, or the beginning, is ten seconds ago."""
    last = time.monotonic()

    def now_and_then(step: T) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            show(step)

    return now_and_then
