"""From the shares of images that a client made to what the services work with: tested, run through the network, tested.

Nobody has seen the images, so a client may have shared anything. A run begins with the degree test of the shares. A
descriptor that is to be compared must be within the norm bound: without it a client could share pixels far outside 0 to
255, whose descriptor lies so far off that distances to it wrap round and look small half of the time: it would match
everybody. Only that an input is refused becomes public.
"""

from collections.abc import Sequence

from services.mpc.correlated import joined
from services.mpc.errors import InputRefused
from services.mpc.field import Elements
from services.mpc.kits import Kit, KitPlan, Section
from services.mpc.nn.execute import Model, embed
from services.mpc.nn.plan import embed_plan
from services.mpc.nn.program import OPEN, Program
from services.mpc.protocols import degree, norm
from services.mpc.session import Run, Session

AT_ONCE = 4  # images in one run of a network: eight take a tenth less time each, and twice the memory


def describe_plan(program: Program) -> KitPlan:
    """What one image consumes."""
    network = embed_plan(program, 1).sections
    last = () if program.purpose == OPEN else (Section("compare", norm.comparisons(program.output.size)),)
    return KitPlan(program.q, (Section("degree", 1), *network, *last))


async def describe(run: Run, kits: Sequence[Kit], model: Model, images: Elements) -> list[Elements]:
    """Each image's output, degree-1 shares, from one kit an image, a few images at a time; raises InputRefused."""
    found: list[Elements] = []
    for start in range(0, len(images), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        found.extend(await _describe(Session(run, joined(kits[some])), run, model, images[some]))
    return found


async def _describe(s: Session, run: Run, model: Model, images: Elements) -> Elements:
    if not (await degree.is_degree_1(s, images.reshape(len(images), -1))).all():
        raise InputRefused("share", "three shares of one image: points of a line")
    output = await embed(run, s.kit, model, images)
    if model.program.purpose != OPEN and not (await norm.is_bounded(s, output)).all():
        raise InputRefused("share", "an image of pixels from 0 to 255, as the model was calibrated for")
    return output
