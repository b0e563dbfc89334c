"""The registrar: a service of the authority, and never of the gateway, that signs keys which browsers have made.

Whoever runs it invites people: an invitation is a secret in a link, for one role and name, for some minutes and for one key.
The key's holder gets a certificate of some days, and asks for the next one with the key before. Its own certificate says for
whom it may sign, callers who verify or enrol, and no service believes what it signs for others (visard_wire.vouching).
"""
