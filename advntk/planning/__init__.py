"""What a suite costs before it runs: work of each job from its cell, at rates measured on finished suites."""
