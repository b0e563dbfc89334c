"""Networks that visard publishes."""
