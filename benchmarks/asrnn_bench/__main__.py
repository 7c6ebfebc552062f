"""``python -m asrnn_bench`` is ``asrnn-bench``."""

from asrnn_bench.cli import main

main()
