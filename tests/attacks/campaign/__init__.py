"""The campaign: one party of three lies, in every kind of message that the protocols send, and no wrong answer passes.

``python -m tests.attacks.campaign --runs 2000 --seed 1``. Each run has a seed of its own, which says all about it: one that
is wrong or hangs prints its seed and its lie, and is repeated alone with ``--only SEED``.
"""
