"""Registry of theory experiments: one module each, with ``ENTRY``, an :class:`advntk.theory.experiment.Experiment`.

Options and units are read when the workflow is parsed: what is heavy is imported inside ``run``. The module of the same
name in ``advntk/telling/stories`` reports the findings.
"""
