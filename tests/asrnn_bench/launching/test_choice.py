"""Launchers are found by name, and refuse the flags of others."""

import re
from pathlib import Path

import pytest

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.choice import LAUNCHERS, choose_launcher, known_launcher
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders, prepare

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "new-launcher.md"


def test_a_launcher_needs_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAUNCHERS, "own", "fake_launchers:IdleLauncher")
    assert type(choose_launcher(LaunchSettings(known_launcher("own")), threads=1)).__name__ == "IdleLauncher"


def test_an_unknown_launcher_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="slurm"):
        choose_launcher(LaunchSettings("slum"), threads=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LaunchSettings("ray", slurm_options=("time=1",)), "--slurm-option is for --launcher slurm, not for ray"),
        (LaunchSettings(ray_address="node1:6379"), "--ray-address is for --launcher ray, not for local"),
        (LaunchSettings(options=Options(nodes_per_job=2)), "--nodes-per-job is for --launcher slurm; local runs"),
        (LaunchSettings("slurm", devices=2), "Slurm shares out the devices"),
    ],
)
def test_a_launcher_refuses_what_it_cannot_do(settings: LaunchSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_launcher(settings, threads=1)


def test_slurm_is_given_the_threads_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrnn_bench.launching.slurm.launcher.run_slurm", lambda *given: {"last": given[-1]})
    assert choose_launcher(LaunchSettings("slurm"), threads=3).run([], Options()) == {"last": 3}


@pytest.mark.slow
def test_the_launcher_of_the_guide_runs_a_job(
    plan: Plan, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "in_turn.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LAUNCHERS, "in-turn", "in_turn:InTurnLauncher")
    directories = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    settings = LaunchSettings("in-turn", options=Options(loggers=()))
    chance = [each for each, job in prepare(plan, directories, folders, settings) if job.model.name == "chance"]
    assert choose_launcher(settings, threads=1).run(chance, settings.options) == {}
    assert [directory.is_done() for directory in chance] == [True]
