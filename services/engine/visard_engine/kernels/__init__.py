"""Numba kernels: one pass over memory each, compiled once and cached, releasing the GIL."""
