"""Floor 1: datasets and splits; one architecture spec, three networks; kernels and Gram matrices."""
