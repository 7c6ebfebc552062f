"""Run antisymmetric recurrences in Triton kernels on NVIDIA GPUs."""
