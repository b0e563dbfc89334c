"""How three stores stay one: writes at all parties or at none, and hashes of what is held, compared all the time."""
