"""Registry of families: one module each, whose ``ENTRY`` turns a spec into its list of layers."""
