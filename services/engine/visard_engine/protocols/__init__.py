"""The protocols, one file each: the dealer's half ``deal`` and the parties' online half side by side."""
