"""Infinite-width kernels: engines that evaluate Θ, its rows and its gradients with respect to images."""
