"""How many threads torch takes."""

import torch


def single() -> None:
    """One thread for all that torch does in this program: results are the same on every machine."""
    torch.set_num_threads(1)
