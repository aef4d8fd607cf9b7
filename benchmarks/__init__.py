"""Speed, accuracy and memory, measured against the reference form of the same computation."""
