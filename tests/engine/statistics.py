"""Tests of distribution, wide enough that a correct protocol fails one in about a million runs."""

from typing import Any

import numpy as np
import numpy.typing as npt

_CHI2_15_MILLIONTH = 56.5  # upper 1e-6 quantile of chi-square with 15 degrees of freedom


def looks_uniform(words: npt.NDArray[Any], q: int) -> bool:
    """Whether elements of F_p spread evenly over 16 intervals of the field, and their lowest 4 bits likewise."""
    top = (words.astype(np.uint64) >> np.uint64(q - 4)).astype(np.int64)
    low = (words & words.dtype.type(15)).astype(np.int64)
    return all(_chi2(digit) < _CHI2_15_MILLIONTH for digit in (top, low))


def looks_balanced(bits: npt.NDArray[np.bool_]) -> bool:
    """Whether ones and zeros come equally often: within 5 standard deviations."""
    n = bits.size
    return bool(abs(int(bits.sum()) - n / 2) < 5 * np.sqrt(n) / 2)


def _chi2(digits: npt.NDArray[np.int64]) -> float:
    expected = digits.size / 16
    return float(((np.bincount(digits, minlength=16) - expected) ** 2 / expected).sum())
