"""Run the AntisymmetricRNN's recurrences, with and without gate, in Triton kernels on NVIDIA GPUs."""
