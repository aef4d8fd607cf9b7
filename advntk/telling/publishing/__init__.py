"""Published suites: how one is packed, written, added to in parts, and compared with a replay of it."""
