"""The links between the three parties, and the sessions of runs over them."""
