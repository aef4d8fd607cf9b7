"""Registry of stories: a module for each theory experiment, with ``ENTRY``, an :class:`advntk.telling.story.Story`."""
