"""Case 25: forty jobs, and every second a random kill of a worker or of the runner; nothing is lost or changed."""

import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from fault_support import outcome, suite_text
from runner_support import directories, family, runner

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1500)]

SEEDS = ",".join(map(str, range(10)))
WORDS = ("--suite", "tiny.toml", "--seeds", SEEDS, "--checkpoint-every", "10steps", "--retries", "1000")
LONGEST_CHAOS_SECONDS, INTERVAL_SECONDS = 120.0, 1.0
ENOUGH = {"worker": 12, "runner": 2}


MEASURED = ("step_ms", "step_cpu_ms", "train_seconds", "peak_memory_mib", "slots", "jobs_per_device")
"""What depends on the moment, and on which of several runners a job ran for."""


def _leaderboards(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "leaderboards").glob("[!.]*") if file.is_file()}


def _without_times(text: bytes) -> list[list[str]]:
    """A CSV without the columns of what was measured: times and memory differ from run to run."""
    rows = [line.split(",") for line in text.decode().splitlines()]
    measured = [at for at, name in enumerate(rows[0]) if name in MEASURED]
    return [[cell for at, cell in enumerate(row) if at not in measured] for row in rows]


def test_nothing_is_lost_and_nothing_is_changed_by_killing_at_random(tmp_path: Path) -> None:
    clean, chaos = tmp_path / "clean", tmp_path / "chaos"
    for folder in (clean, chaos):
        folder.mkdir()
        (folder / "tiny.toml").write_text(suite_text(60, validate_every=20, models=("antisymmetric", "rnn")))
    with runner(clean, *WORDS) as process:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    numbers, kills = random.Random(25), {"worker": 0, "runner": 0}
    until = time.monotonic() + LONGEST_CHAOS_SECONDS
    while time.monotonic() < until and not _is_enough(kills):
        with runner(chaos, *WORDS) as process:
            while process.poll() is None and time.monotonic() < until and not _is_enough(kills):
                time.sleep(INTERVAL_SECONDS)
                at_work = kills["worker"] >= 6 * (kills["runner"] + 1)  # a runner needs some seconds to start again
                what = "runner" if at_work else "worker"
                victims = [process.pid] if what == "runner" else _workers(process.pid)
                if victims:
                    with suppress(ProcessLookupError):
                        psutil.Process(numbers.choice(victims)).send_signal(signal.SIGKILL)
                        kills[what] += 1
            if process.poll() == 0:
                break
    with runner(chaos, *WORDS) as process:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert kills["worker"] > 0  # how many depends on the machine; a busy one kills fewer
    assert kills["runner"] > 0
    expected = {each.job().key: outcome(each) for each in directories(clean)}
    assert len(expected) == 40
    assert {each.job().key: outcome(each) for each in directories(chaos)} == expected
    assert len(list(chaos.glob("runs/*/*/*/*/result.json"))) == 40
    before = _leaderboards(chaos)
    assert _without_times(before["tiny.tiny.csv"]) == _without_times(_leaderboards(clean)["tiny.tiny.csv"])
    shutil.rmtree(chaos / "leaderboards")
    with runner(chaos, *WORDS) as process:  # from the job directories alone, to the byte
        said, _ = process.communicate(timeout=100)
        assert "0 of 40 jobs were started now" in said
    assert _leaderboards(chaos) == before


def _is_enough(kills: dict[str, int]) -> bool:
    return all(kills[what] >= count for what, count in ENOUGH.items())


def _workers(pid: int) -> list[int]:
    """The workers of a runner: what its template has forked."""
    found = []
    for template in family(pid)[1:]:
        with suppress(psutil.Error):
            found += [child.pid for child in template.children()]
    return found
