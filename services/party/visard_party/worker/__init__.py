"""A worker: a part of a party's references in a process of its own, which searches with its like at the two other parties."""
