"""From the shares of images that a client made to what the services work with: tested, run through the network, tested.

Nobody has seen the images, so a client may have shared anything. A run begins with the degree test of the shares. A
descriptor that is to be compared must be within the norm bound, and is brought to length one: without the bound a client could
share pixels far outside 0 to 255, whose descriptor is so long that its length wraps round and looks small: brought to length
one it would match everybody. Only that an input is refused becomes public.
"""

from collections.abc import Sequence

import numpy as np

from visard_engine.correlated import joined
from visard_engine.errors import InputRefused
from visard_engine.field import Elements, field_of
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.execute import Model, embed, embed_plan
from visard_engine.nn.program import OPEN, Program
from visard_engine.protocols import degree, norm, normalise
from visard_engine.protocols.opening import agree, fresh_share
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Run, Session

AT_ONCE = 4  # images in one run of a network: eight take a tenth less time each, and twice the memory

LARGEST_OPENING = 48 << 20  # bytes of shares that a message between parties carries; one opening is one message


def largest_opening(program: Program) -> int:
    """Bytes that a party sends to another in the largest opening of one image."""
    elements = max(section.n for section in describe_plan(program).sections)
    if program.purpose != OPEN:
        elements = max(elements, norm.comparisons(program.output.size))
    return elements * field_of(program.q).itemsize


def at_once(program: Program) -> int:
    """Images that go through the network together: as many as fit into its messages."""
    return max(1, min(AT_ONCE, LARGEST_OPENING // largest_opening(program)))


def describe_plan(program: Program) -> KitPlan:
    """What one image consumes."""
    network = embed_plan(program, 1).sections
    return KitPlan(
        program.q, (Section("degree", 1), *network, *descriptor_sections(program), *verified_sections(program))
    )


def descriptor_sections(program: Program) -> tuple[Section, ...]:
    """The norm test and the normalisation of a descriptor; nothing for an output that is opened."""
    if program.purpose == OPEN:
        return ()
    size = program.output.size
    return Section("norm", 1, size), Section("truncate", size, normalise.drop(program.q))


def verified_sections(program: Program) -> tuple[Section, ...]:
    """What the verification takes: a pair more, and the norm test's squares, for a descriptor."""
    inner = Section("coin", 1), Section("inner", _pairs(program))
    if program.purpose == OPEN:
        return inner
    return *inner, Section("squares", norm.rows(program.output.size), norm.FAN_IN)


def _pairs(program: Program) -> int:
    """Pairs that are verified of an image: the network's, and as many as a batch has descriptors: one kit serves all of it."""
    return program.pairs + (AT_ONCE if program.purpose != OPEN else 0)


def weights_plan(q: int) -> KitPlan:
    """What the test of a model's weights consumes."""
    return KitPlan(q, (Section("degree", 1),))


async def check_line(s: Session, weights: Elements) -> None:
    """Raise InputRefused unless the shares of a model's weights (n,) lie on a line: three rounds."""
    line = await degree.is_degree_1(s, weights[None])
    await agree(s)
    if not line[0]:
        raise _off_the_line("a model")


async def describe(run: Run, kits: Sequence[Kit], model: Model, images: Elements) -> list[Elements]:
    """Each image's output, degree-1 shares, a descriptor at length one (normalise.py); from one kit an image.

    Raises InputRefused if one image is refused.
    """
    return [_accepted(output) for output in await describe_each(run, kits, model, images)]


async def describe_each(run: Run, kits: Sequence[Kit], model: Model, images: Elements) -> list[Elements | InputRefused]:
    """For each image its output, or why it is refused, whatever becomes of the others; a few images at a time."""
    found: list[Elements | InputRefused] = []
    step = at_once(model.program)
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        s = Session(run, joined(kits[some]))
        found += await _describe(s, model, images[some])
    await agree(s)
    return found


async def evaluate(run: Run, kit: Kit, model: Model, images: Elements) -> Elements:
    """This party's share of the output (...) of one image, in a fresh sharing of degree 1: for the caller alone.

    Raises InputRefused.
    """
    s = Session(run, kit)
    (found,) = await _describe(s, model, images)
    await agree(s)
    return fresh_share(s, _accepted(found).reshape(-1))


def _accepted(output: Elements | InputRefused) -> Elements:
    if isinstance(output, InputRefused):
        raise output
    return output


async def _describe(s: Session, model: Model, images: Elements) -> list[Elements | InputRefused]:
    """What is opened of the norm test may depend on secrets where a party lies: so claims are verified before."""
    on_a_line = await degree.is_degree_1(s, images.reshape(len(images), -1))
    if not on_a_line.any():
        return [_off_the_line() for _ in images]
    if not on_a_line.all():  # zeros go on in its place, for its kit serves nobody else
        images = images.copy()
        images[~on_a_line] = 0
    outputs = await embed(s, model, images)
    bounded = np.ones(len(images), np.bool_)
    if model.program.purpose == OPEN:
        await verify(s, _pairs(model.program))
    else:
        negative, squares = await norm.out_of_bounds(s, outputs)
        outputs = await normalise.normalise(s, outputs, squares)
        await verify(s, _pairs(model.program))
        bounded = await norm.is_bounded(s, negative, outputs.shape[1], len(outputs))
    return [
        (output if within else _out_of_range()) if line else _off_the_line()
        for output, line, within in zip(outputs, on_a_line, bounded, strict=True)
    ]


def _off_the_line(what: str = "one image") -> InputRefused:
    return InputRefused("share", f"three shares of {what}: points of a line")


def _out_of_range() -> InputRefused:
    return InputRefused("share", "an image of pixels from 0 to 255, as the model was calibrated for")
