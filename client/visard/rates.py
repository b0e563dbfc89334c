"""Rates as people read them: in percent, everywhere on screen and in errors. Files and ``--json`` have fractions."""

import numpy as np


def percent(rate: float) -> str:
    """A rate of 0 to 1 in percent, its first three digits, never with an exponent: 0.00093 is "0.093 %"."""
    return f"{np.format_float_positional(100 * rate, precision=3, fractional=False, trim='-')} %"
