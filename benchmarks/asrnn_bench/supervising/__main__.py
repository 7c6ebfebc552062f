"""Run a job with all its attempts, as a scheduler does on a node: ``python -m asrnn_bench.supervising JOBDIR``.

Exit status: 0 the job is settled; 2 there is no such job, or it takes several nodes; 75 the job was asked to
stop, and is to be started again.
"""

import sys

from asrnn.errors import UsageError
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.supervise import supervise


def main(words: list[str]) -> int:
    """Supervise the job of one directory."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m asrnn_bench.supervising JOBDIR\n")
        return 2
    try:
        options = Options.from_environment()
        if options.nodes_per_job > 1:
            raise UsageError("this command starts a job on one node only; use --launcher slurm for several")
        return supervise(words[0], options)
    except (UsageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
