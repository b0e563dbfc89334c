"""How well a network tells people apart, as biometrics reports it."""
