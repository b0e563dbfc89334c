"""What happens after crashes and losses, and what administrators do about it."""
