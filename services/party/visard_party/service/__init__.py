"""What the gateway calls at a party."""
