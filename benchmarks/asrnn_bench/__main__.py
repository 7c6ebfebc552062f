"""Run the command line, as ``python -m asrnn_bench``."""

from asrnn_bench.cli import main

main()
