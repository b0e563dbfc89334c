"""Images that wait at the same time go through a network together."""
