"""How the allocator of the C library treats large arrays."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
OWN_PAGES_BYTES = 4 << 20  # from here on NumPy asks for huge pages, so that fresh ones cost little
KEPT_BYTES = 32 << 20  # free at the end of a heap, and kept for what comes


def give_back_large_arrays() -> None:
    """From here on an array of OWN_PAGES_BYTES or more leaves the process when it is freed.

    glibc would keep ever larger ones, up to 32 MiB each, for those that come: a run's memory never went back to the system, and
    lay in pieces. Other libraries stay as they are.

    Of smaller ones KEPT_BYTES stay, in each of the allocator's heaps. Setting the first number ends that glibc finds the second
    by itself: with its 128 KiB each array freed at the end of a heap took its pages along, and the next one had to fault them in
    again, which cost a party a tenth of its CPU time and the dealer a quarter or more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_small_pieces() -> None:
    """What lies free among smaller arrays leaves the process: after much was read that is kept in another form."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
