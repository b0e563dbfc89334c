"""What a client shared is refused unless it is a sharing and leads to a descriptor that distances can be trusted with."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from visard_engine.errors import InputRefused
from visard_engine.field import field_of
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.program import MATCH, OPEN
from visard_engine.protocols.normalise import unit_bits

from tests.engine.nn.networks import SHAPE, describe_on_shares, images, residual


def compiled(q: int, purpose: str = MATCH) -> Compiled:
    points = {"default": 0.6} if purpose == MATCH else {}
    return compile_module(
        residual(), SHAPE, q=q, calibration=images(6, seed=9), operating_points=points, purpose=purpose
    )


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("count", [1, 5])
async def honest_images__should_be_described(q: int, count: int) -> None:
    made, probes = compiled(q), images(count, seed=5)
    found, _ = await describe_on_shares(made, probes)
    expected = functional.normalize(residual()(torch.from_numpy(probes).float())).detach().numpy()
    assert np.abs(found / 2 ** unit_bits(q) - expected).max() < 0.03


@pytest.mark.parametrize("purpose", [MATCH, OPEN])
async def share_off_the_line__should_be_refused(purpose: str) -> None:
    def spoil(shares: tuple[Any, ...]) -> tuple[Any, ...]:
        shares[2][4, 0, 0, 0] ^= 1  # the fifth image: the second part of the batch
        return shares

    with pytest.raises(InputRefused, match=r"share: .*line"):
        await describe_on_shares(compiled(31, purpose), images(5), spoil)


@pytest.mark.parametrize("q", [31, 61])
async def pixels_far_outside__should_be_refused(q: int) -> None:
    """Without the norm bound the length of such an image would wrap round, and look short: it would match everybody."""
    made, field = compiled(q), field_of(q)
    refused = 0
    for seed in range(8):
        pixels = np.random.default_rng(seed).integers(-(field.p // 2), field.p // 2, (1, *SHAPE))
        try:
            found, _ = await describe_on_shares(made, pixels)
        except InputRefused as error:
            assert "pixels from 0 to 255" in str(error)  # noqa: PT017
            refused += 1
        else:  # by chance it is short
            assert np.linalg.norm(found / 2 ** unit_bits(q)) < 1.02
    assert refused >= 4
