"""A run refuses models from outside that break the contract, gives the reason, and checks none twice."""

import errno
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import broken_models
import pytest
from bench_support import TINY, call
from failing_disk import FailingDisk
from rich.console import Console

from asrnn_bench.files import disk_errors
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching import admission
from asrnn_bench.launching.admission import admit
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.job import Job, ModelConfig

TWO_SETTINGS = TINY.replace('tasks = ["permuted-mnist"]', 'tasks = ["permuted-mnist", "pixel-mnist"]') + (
    '\n[settings.pixel-mnist.sound]\norigin = "a test"\nhyper = { gain = 2.0 }\n'
)
HARMFUL = "import os\nfrom torch import nn\n\nos._exit(7)\n\n\nclass Harmful(nn.Module):\n    pass\n"


TOUCHY = """
import os

from torch import nn


class Touchy(nn.GRU):
    def __init__(self, input_size, hidden_size, *, fatal=False):
        if fatal:
            os._exit(7)
        super().__init__(input_size, hidden_size, batch_first=True)
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "tiny.toml").write_text(TWO_SETTINGS)
    shutil.copy(broken_models.__file__, tmp_path / "cells.py")
    return make_plan(load_suite(str(tmp_path / "tiny.toml")), Request(models=["rnn", f"{tmp_path / 'cells.py'}:Sound"]))


class Asked:
    """Stands where the other process is asked, and refuses some settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *refused: dict[str, object]) -> None:
        self.models: list[ModelConfig] = []
        self.refused = refused
        monkeypatch.setattr(admission, "_ask", self)

    def __call__(self, models: Sequence[ModelConfig], *_: object) -> list[str | None]:
        self.models += models
        return ["causality: it sees the future" if model.hyper in self.refused else None for model in models]


def started(plan: Plan, output: Path, **environment: str) -> list[Job]:
    """The jobs that would start, after each was written as a runner writes it."""
    directories = [JobDirectory.of(output, job) for job in plan.jobs]
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job, plan.files.get(job.model.name))
        directory.wait()
    pairs = list(zip(directories, plan.jobs, strict=True))
    admitted = admit(pairs, plan.files, output, environment, Console(quiet=True))
    return [job for directory, job in pairs if directory in admitted]


def test_each_setting_of_a_model_from_outside_is_checked_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    assert started(plan, tmp_path / "runs") == plan.jobs
    assert [(model.name, model.hyper) for model in asked.models] == [("sound", {}), ("sound", {"gain": 2.0})]
    assert started(plan, tmp_path / "runs") == plan.jobs
    assert len(asked.models) == 2  # a pass is remembered
    assert started(plan, tmp_path / "others") == plan.jobs
    assert len(asked.models) == 4  # in the output folder


@pytest.mark.parametrize("change", ["the model's code", "the contract's", "torch"])
def test_a_pass_counts_only_for_the_same_code_and_the_same_checks(
    change: str, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    started(plan, tmp_path / "runs")
    if change == "the model's code":
        (tmp_path / "cells.py").write_text((tmp_path / "cells.py").read_text() + "\n")
        plan = make_plan(
            load_suite(str(tmp_path / "tiny.toml")), Request(models=["rnn", f"{tmp_path / 'cells.py'}:Sound"])
        )
    elif change == "torch":
        monkeypatch.setattr(admission, "version", lambda package: "another")
    else:
        monkeypatch.setattr(admission, "source_digest", lambda module, path: "another")
    started(plan, tmp_path / "runs")
    assert len(asked.models) == 4


def test_a_pass_counts_for_one_kind_of_device(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    started(plan, tmp_path / "runs", CUDA_VISIBLE_DEVICES="")
    assert len(asked.models) == 2
    started(plan, tmp_path / "runs", CUDA_VISIBLE_DEVICES="GPU-1")
    assert len(asked.models) == 4
    started(plan, tmp_path / "runs", CUDA_VISIBLE_DEVICES="GPU-2")
    started(plan, tmp_path / "runs", CUDA_VISIBLE_DEVICES="")
    assert len(asked.models) == 4


def test_a_pass_counts_for_one_input_size(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    started(plan, tmp_path / "runs")
    sizes = admission._input_sizes
    monkeypatch.setattr(admission, "_input_sizes", lambda waiting: dict.fromkeys(sizes(waiting), 28))
    started(plan, tmp_path / "runs")
    started(plan, tmp_path / "runs")
    assert len(asked.models) == 4


def test_only_settings_that_break_the_contract_fail_and_are_checked_again(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch, {"gain": 2.0})
    admitted = started(plan, tmp_path / "runs")
    left_out = [job for job in plan.jobs if job not in admitted]
    assert [(job.model.name, job.task.name) for job in left_out] == [("sound", "pixel-mnist")]
    state = JobDirectory.of(tmp_path / "runs", left_out[0]).state()
    assert state == ("failed", "refused by the contract: causality: it sees the future")
    asked.refused = ()
    assert started(plan, tmp_path / "runs") == plan.jobs
    assert [model.hyper for model in asked.models] == [{}, {"gain": 2.0}, {"gain": 2.0}]


def test_a_model_that_ends_its_process_or_hangs_is_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cells.py").write_text(HARMFUL)
    plan = make_plan(load_suite(str(tmp_path / "tiny.toml")), Request(models=[f"{tmp_path / 'cells.py'}:Harmful"]))
    (model,) = {job.model.name: job.model for job in plan.jobs if job.model.origin == "file"}.values()
    assert admission._ask([model], plan.files, {}) == ["the check ended with exit status 7 and no answer"]
    monkeypatch.setattr(admission, "TIMEOUT_SECONDS", 0.01)
    assert admission._ask([model], plan.files, {}) == ["the check did not end within 0 minutes"]


def test_other_settings_are_checked_when_one_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "cells.py").write_text(TOUCHY)
    plan = make_plan(load_suite(str(tmp_path / "tiny.toml")), Request(models=[f"{tmp_path / 'cells.py'}:Touchy"]))
    model = next(job.model for job in plan.jobs if job.model.origin == "file")
    fatal = model.model_copy(update={"hyper": {"fatal": True}})
    found = admission._ask([fatal, model], plan.files, {})
    assert found == ["the check ended with exit status 7 and no answer", None]


def test_a_setting_that_hangs_is_refused_and_the_next_one_is_checked(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = list({model.hyper.get("gain"): model for model in (job.model for job in plan.jobs)}.values())
    models = [model for model in models if model.origin == "file"]
    ends = iter(["did not end within 10 minutes", "ended with exit status 0 and no answer"])

    def run(words: list[str], answer: Path, log: Path, environment: dict) -> str:
        end = next(ends)
        log.write_text("")
        if "0 and" in end:
            answer.write_text("[null]")
        return end

    monkeypatch.setattr(admission, "_run", run)
    assert admission._ask([models[0], models[0]], plan.files, {}) == ["the check did not end within 10 minutes", None]


def test_models_are_checked_at_the_sizes_of_their_jobs(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[dict] = []

    def run(words: list[str], answer: Path, log: Path, environment: dict) -> str:
        requests.append(json.loads(words[0]))
        answer.write_text("[null]")
        return "ended"

    monkeypatch.setattr(admission, "_run", run)
    job = next(job for job in plan.jobs if job.model.origin == "file")
    sizes = admission._input_sizes([(None, job)])  # type: ignore[list-item]
    admission._ask([job.model], plan.files, {}, sizes)
    (setting,) = requests[0]["settings"]
    assert (setting["hidden_size"], setting["input_size"]) == (job.model.hidden_size, 1)
    wider = job.model.model_copy(update={"hidden_size": 128})
    assert admission._key(wider) != admission._key(job.model)


def test_a_model_file_is_checked_without_the_files_beside_it(tmp_path: Path) -> None:
    """What it reads beside itself is there when a run is planned, and in no job directory."""
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "gain.json").write_text("1.0")
    read = "        (Path(__file__).parent / 'gain.json').read_text()\n"
    text = TOUCHY.replace("        super()", f"{read}        super()")
    (tmp_path / "cells.py").write_text(f"from pathlib import Path\n{text}")
    plan = make_plan(load_suite(str(tmp_path / "tiny.toml")), Request(models=[f"{tmp_path / 'cells.py'}:Touchy"]))
    model = next(job.model for job in plan.jobs if job.model.origin == "file")
    (reason,) = admission._ask([model], plan.files, {})
    assert reason is not None
    assert "FileNotFoundError" in reason
    assert "a model's file travels alone into each job directory: install what it needs" in reason


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_refuses_the_broken_model_and_goes_on_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(broken_models.__file__, tmp_path / "cells.py")
    shutil.copy(broken_models.__file__, tmp_path / "elsewhere" / "my_cells.py")
    models = "cells.py:LeaksTheFuture,my_cells:Sound"
    words = ["--suite", "tiny.toml", "--max-steps", "2", "--models", models]
    found = call(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path / "elsewhere"))
    assert found.returncode == 1, found.stdout + found.stderr
    for name in ("leaks-the-future", "sound"):
        assert f"checking {name} against the contract" in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if "refused by the contract" in line]
    assert line.startswith("failed, permuted-mnist / leaks-the-future / seed 0: refused by the contract: causality: ")
    assert "the model sees the future" in line
    assert "Traceback" not in found.stdout + found.stderr
    rows = (tmp_path / "leaderboards" / "tiny.tiny-2-steps.csv").read_text().splitlines()
    reasons = {row.split(",")[1]: "refused by the contract" in row for row in rows[1:]}
    assert reasons == {"chance": False, "logistic-regression": False, "sound": False, "leaks-the-future": True}
    again = call(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path / "elsewhere"))
    assert again.returncode == 1
    assert "checking sound" not in again.stdout  # its job is done, and its pass is remembered
    assert "0 of 4 jobs were started now" in again.stdout


@pytest.mark.parametrize("place", [".admitted", "tiny"])
def test_a_refused_model_does_not_start_when_its_folder_cannot_be_written(
    place: str, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Asked(monkeypatch, {"gain": 2.0})
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.0)
    output = tmp_path / "runs"
    pairs = [(JobDirectory.of(output, job), job) for job in plan.jobs]
    for directory, job in pairs:
        directory.write_job(job, plan.files.get(job.model.name))
    FailingDisk(monkeypatch, output / place, errno.EIO).failing = True
    console = Console(file=io.StringIO(), width=200)
    admitted = admit(pairs, plan.files, output, {}, console)
    (left_out,) = [job for directory, job in pairs if directory not in admitted]
    assert (left_out.model.name, left_out.task.name) == ("sound", "pixel-mnist")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("it sees the future" in said and "Input/output error" in said) == (place == "tiny")
