"""Run ``python -m asrnn_bench.worker JOBDIR``."""

import sys

from asrnn_bench.worker.main import main

if __name__ == "__main__":
    sys.exit(main())
