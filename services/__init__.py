"""The services of visard: gateway, parties, dealer, and the engine they share."""
