"""One architecture spec → layers as data → finite networks; kernels are made from the same layers."""
