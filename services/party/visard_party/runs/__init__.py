"""One request from the moment all three parties were asked to the sealed answer."""
