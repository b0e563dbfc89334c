"""What comes in: what a request may look like, who signs it, the shares that are handed in, the keys they are sealed to."""
