"""The gateway: relays sealed shares to the parties and sealed answers back. It can read neither."""
