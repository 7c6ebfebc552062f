"""Train one job in this process: ``python -m asrnn_bench.worker JOBDIR``."""
