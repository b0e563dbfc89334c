"""Correlated randomness in stock: from the dealer, each kit once."""
