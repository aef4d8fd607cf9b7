"""Floor 5: records → tables and figures; reads what the suite file lists and nothing else."""
