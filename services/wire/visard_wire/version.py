"""The version of client, services and wire, in one place."""

__version__ = "0.1.0"
# Of what parties say to each other in a run. Raise it with every change after which two versions would not run together.
PROTOCOL = 8
