"""Registry of datasets: one module each, with an ``ENTRY`` of type :class:`advntk.ingredients.images.Dataset`."""
