"""The same services over HTTP: the Connect protocol, with JSON too, and gRPC-Web. A port of its own, for curl and browsers."""
