"""What a scheduler runs on a node: ``python -m asrnn_bench.supervising JOBDIR``, a job with all its attempts.

Exit status: 0 the job is settled, as its directory says; 2 there is no such job; 75 asked to stop, to be started again.
"""

import sys

from asrnn.errors import UsageError
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.supervisor import supervise


def main(words: list[str]) -> int:
    """Supervise the job of one directory."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m asrnn_bench.supervising JOBDIR\n")
        return 2
    try:
        return supervise(words[0], Options.from_environment())
    except (UsageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
