"""Networks as straight-line programs on shares: their form, their compiler, their plaintext twin, their execution."""
