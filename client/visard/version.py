"""The version of client, services and wire, in one place."""

__version__ = "0.1.0"
