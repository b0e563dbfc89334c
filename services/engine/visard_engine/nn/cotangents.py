"""Random factors for the elements of a value, and how they pass backwards through what is linear.

A claim says that a random combination of a wide value's elements is what was opened of it: sum of G[i] z[i]. Where G is the
outer product of one vector over channels and one over all other places, the products of a convolution collapse to one inner
product (Freivalds 1977; protocols/verification.py). Most operations keep that form; ``Dense`` is for what does not.
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.claims import Stream
from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.kernels import channels as kernels

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    """``channels`` (C,) times ``places`` (B, H, W), or (B,) for a flat value: factors of a value (B, C, H, W) or (B, C)."""

    channels: Elements
    places: Elements

    def scaled(self, field: Field, factor: int) -> "Outer":
        """Times a public number."""
        return Outer(field.scale(self.channels, factor), self.places)

    def dense(self) -> "Dense":
        """The same, element by element."""
        ones = np.ones((len(self.places), self.channels.size, *self.places.shape[1:]), self.places.dtype)
        spread = ones * self.places[:, None]
        return Dense(kernels.affine(spread, self.channels))


@dataclass(frozen=True)
class Dense:
    """One factor for each element of a value (B, C, ...)."""

    factors: Elements

    def scaled(self, field: Field, factor: int) -> "Dense":
        """Times a public number."""
        return Dense(field.scale(self.factors, factor))

    def dense(self) -> "Dense":
        """Itself."""
        return self


Cotangent = Outer | Dense


def drawn(stream: Stream, shape: Shape, batch: int) -> Outer:
    """Fresh factors of a value of this shape, of a batch of images."""
    places = (batch, *shape[1:])
    return Outer(stream.elements(shape[0]), stream.elements(int(np.prod(places))).reshape(places))


def total(g: Cotangent, x: Elements) -> Elements:
    """The sum of all factors times the elements of x (B, C, ...), mod p, (1,)."""
    return added(by_channel(g, x))


def by_channel(g: Cotangent, x: Elements) -> Elements:
    """For each channel the sum of factors times elements of x (B, C, ...), over images and places: (C,)."""
    if isinstance(g, Outer):
        sums = kernels.contract(x, g.places, over_images=True)
        return arithmetic.multiply(sums.reshape(-1), g.channels)
    return kernels.contract_dense(x, g.factors, over_images=True).reshape(-1)


def by_image_and_channel(g: Cotangent, x: Elements) -> Elements:
    """Likewise for each image and channel, over places alone: (B, C)."""
    if isinstance(g, Outer):
        found = kernels.contract(x, g.places, over_images=False)
        return arithmetic.multiply(found, np.broadcast_to(g.channels, found.shape))
    return kernels.contract_dense(x, g.factors, over_images=False)


def count(field: Field, g: Cotangent) -> Elements:
    """For each channel the sum of its factors, (C,)."""
    if isinstance(g, Outer):
        return field.scale(g.channels, int(added(g.places)[0]))
    return by_channel(g, np.ones_like(g.factors))


def added(x: Elements) -> Elements:
    """The sum of all elements mod p, (1,)."""
    return kernels.summed(x)


def merged(field: Field, a: Cotangent, b: Cotangent) -> Cotangent:
    """The sum of two of one value; an outer product only where both are the same over channels."""
    if isinstance(a, Outer) and isinstance(b, Outer) and a.channels is b.channels:
        return Outer(a.channels, field.add(a.places, b.places))
    return Dense(field.add(a.dense().factors, b.dense().factors))


def spread(field: Field, x: Elements, place: tuple[slice, slice], onto: Elements) -> None:
    """Add x (..., h, w) to some rows and columns of ``onto`` (..., H, W), in place."""
    part = (..., *place)
    onto[part] = field.add(np.ascontiguousarray(onto[part]), x)
