"""What can go wrong inside a party.

StoreError                operator: the store is not usable
    SchemaMismatch, ForeignStore, StoreFull, StoreBusy, StoreAway, StoreRefused
RequestConflict           caller: the request id was used for something else, or was dropped
Divergence                operator: this party's log contradicts another's
"""


class StoreError(Exception):
    """The store cannot do what it must; nothing was half done."""


class SchemaMismatch(StoreError):
    """The database was made by another version."""


class ForeignStore(StoreError):
    """The database is another party's: its shares would be lost among ours, and ours among its."""


class StoreFull(StoreError):
    """The disk is full, or a limit of the database is reached."""


class StoreBusy(StoreError):
    """The store took too long."""


class StoreAway(StoreError):
    """The database cannot be reached."""


class StoreRefused(StoreError):
    """The database does not take user and password, or does not let this user do what a party must."""


class RequestConflict(Exception):
    """A request id that stands for another write already, or for one that was dropped."""


class Divergence(Exception):
    """What the parties' logs say cannot all be true."""
