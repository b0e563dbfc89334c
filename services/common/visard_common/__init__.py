"""What gateway, parties and dealer share: configuration, identity, TLS, faults, logs, the server's life."""
