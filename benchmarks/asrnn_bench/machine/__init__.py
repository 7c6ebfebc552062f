"""Find out what this machine has: processors, memory, GPUs, and its identity."""
