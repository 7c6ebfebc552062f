"""Measure what 10,000 jobs cost to plan, watch and tabulate: ``python -m asrnn_bench.own_cost.scale``.

The jobs are synthetic (``synthetic_run.py``): directories in every state, as workers leave them. Each row measures one
process from start to end, like a user's command. Its memory is the peak resident set. The last row runs forty real jobs
of a few steps, two at a time (``pool_use.py``).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COLUMNS = ("what", "wall s", "cpu s", "MiB", "")
_LINE = "{:<36}{:>8}{:>8}{:>8}  {}\n"
_COMMAND = [sys.executable, "-P", "-m"]


def main(words: list[str] | None = None) -> int:
    """Measure each command on a synthetic run, and print a table. Return 1 if a command fails.

    Args:
        words: the arguments of the command, by default those of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m asrnn_bench.own_cost.scale", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="the approximate number of jobs")
    parser.add_argument("--only", default="", help="measure only the rows whose name contains this text")
    parser.add_argument("--folder", type=Path, help="where to write the run; default: the temporary folder")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as name:
        folder = Path(name)
        with _synthetic_run(folder, options.jobs) as summary:
            sys.stdout.write(f"{summary}\n" + _LINE.format(*COLUMNS))
            chosen = {what: command for what, command in commands(folder).items() if options.only in what}
            failures = [_measure(what, command) for what, command in chosen.items()]
    return int(any(failures))


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands to measure by their names. The folder holds a suite and a run of it."""
    suite, run, boards = str(folder / "suite.toml"), str(folder / "run"), str(folder / "leaderboards")
    bench, child = [*_COMMAND, "asrnn_bench"], [*_COMMAND, "asrnn_bench.own_cost.scale_child"]
    return {
        "plan and write all directories": [*child, "plan", suite, str(folder / "new")],
        "plan and find what is left of a run": [*child, "plan", suite, run],
        "--dry-run": [*bench, "--suite", suite, "--dry-run", "--output", run],
        "status": [*bench, "status", run],
        "leaderboard, for the first time": [*bench, "leaderboard", run, "--leaderboards", boards],
        "leaderboard, again": [*bench, "leaderboard", run, "--leaderboards", boards],
        "leaderboard --check": [*bench, "leaderboard", boards, "--check"],
        "the live table, for 30 s": [*child, "watch", run, "30"],
        "40 short jobs, two at a time": [*child, "pool", str(folder / "short"), "40"],
    }


def _measure(what: str, command: list[str]) -> bool:
    """Run a command, print its row with the last line of its standard error, and return whether it failed."""
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
    numbers = (wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    sys.stdout.write(_LINE.format(what, *(f"{number:.1f}" for number in numbers), *said).rstrip() + "\n")
    sys.stdout.flush()
    return bool(process.returncode)


@contextmanager
def _synthetic_run(folder: Path, jobs: int) -> Iterator[str]:
    """Write the run in a process that lives as long as the block, because it claims the running jobs."""
    words = [*_COMMAND, "asrnn_bench.own_cost.scale_child", "write", str(folder), str(jobs)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline().strip() if process.stdout else ""
        yield said
        process.terminate()


if __name__ == "__main__":
    sys.exit(main())
