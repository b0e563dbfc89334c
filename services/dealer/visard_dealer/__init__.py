"""The dealer: makes kits of correlated randomness and delivers to each party its part."""
