"""Registry of training methods: one module each, with an ``ENTRY`` of type :class:`advntk.learning.method.Method`."""
