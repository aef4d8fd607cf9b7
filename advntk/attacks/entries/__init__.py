"""Registry of attacks: one module each, with an ``ENTRY`` of type :class:`advntk.attacks.attack.Attack`."""
