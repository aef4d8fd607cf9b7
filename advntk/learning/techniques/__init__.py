"""The registry of techniques that combine with any training loss, one a file."""
