"""What client and services both stand on: generated messages, sealing, signatures, the audit log's chain, the type of secrets."""
