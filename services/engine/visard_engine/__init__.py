"""The MPC engine: a library without sockets, files or databases.

Three parties, at most one of them corrupt, and a dealer of correlated randomness. See docs/architecture.md for the
protocols and their sources.
"""
