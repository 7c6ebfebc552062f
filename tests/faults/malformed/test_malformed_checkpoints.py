"""Instead of a damaged or forged checkpoint the one before is used, or none, and no code in it ever runs."""

import io
import os
import pickle
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from malformed import NOT_FILES, malform_path, malformed, normalised, tell

from asrnn_bench.worker.checkpoints import Checkpoints

REASONS = 7
"""The least number of different refusals, so that the malformations reach every check."""

KEY = "0" * 64
STEPS = (20, 40)


def state(step: int) -> dict[str, Any]:
    return {"global_step": step, "weights": torch.arange(float(step)), "loops": {"done": [step, 1.5, "words"]}}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Two generations."""
    found = Checkpoints(tmp_path / "ckpt", KEY)
    found.tidy()
    for step in STEPS:
        found.save_checkpoint(state(step), found.path(step))
    return found


def check(checkpoints: Checkpoints) -> list[str]:
    """Check that the checkpoint that is found was saved, and return why others are refused."""
    found = checkpoints.newest()
    if found.path is None:
        assert (found.which, found.step) == ("scratch", 0)
    else:
        loaded = checkpoints.load_checkpoint(found.path)
        expected = state(loaded["global_step"])
        assert torch.equal(loaded["weights"], expected["weights"])
        assert loaded["loops"] == expected["loops"]
        assert loaded["global_step"] == found.step
        assert found.which == ("last" if found.step == max(STEPS) else "previous")
    assert not [reason for reason in found.refused if "\n" in reason or not reason.isprintable() or len(reason) > 300]
    return [normalised(reason) for reason in found.refused]


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.faults)])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_taken(checkpoints: Checkpoints, count: int) -> None:
    last, before = (checkpoints.path(step) for step in reversed(STEPS))
    digest = last.with_name(last.name + ".sha256")
    whole = {path: path.read_bytes() for path in (last, digest, before)}
    reasons: set[str] = set()
    for number, content in enumerate(malformed(whole[last], count, seed=count)):
        damaged = [last, digest, before][number % 5 % 3]  # now and then the digest, or the one before
        written = content if damaged != digest else next(malformed(whole[digest], 1, seed=number))
        damaged.write_bytes(written)
        reasons |= set(check(checkpoints))
        same = damaged == digest and written.decode("latin-1").strip() == whole[digest].decode().strip()
        assert checkpoints.newest().step == (40 if damaged == before or same else 20)
        damaged.write_bytes(whole[damaged])
        assert {path: path.read_bytes() for path in whole} == whole  # nothing was removed on the way
    assert check(checkpoints) == []
    tell(f"{count} malformed checkpoints, {len(reasons)} reasons")


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
def test_damage_with_a_digest_that_fits_is_refused_or_is_a_state(checkpoints: Checkpoints, count: int) -> None:
    """The file was damaged before its digest was computed, so only torch can refuse it."""
    last = checkpoints.path(max(STEPS))
    whole, reasons = last.read_bytes(), set()
    for content in malformed(whole, count, seed=count + 1):
        forge(last, content)
        found = checkpoints.newest()
        reasons |= {normalised(reason) for reason in found.refused}
        assert found.step in STEPS
        assert not [reason for reason in found.refused if "\n" in reason or not reason.isprintable()]
    tell(f"{count} forged checkpoints, {len(reasons)} reasons")
    assert len(reasons) >= (REASONS if count > 100 else 3), sorted(reasons)


def forge(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.with_name(path.name + ".sha256").write_text(sha256(content).hexdigest() + "\n")


@pytest.mark.parametrize("how", NOT_FILES)
@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_a_folder_pipe_or_device_in_place_of_a_checkpoint_is_refused(
    checkpoints: Checkpoints, how: str, suffix: str
) -> None:
    last = checkpoints.path(max(STEPS))
    malform_path(last.with_name(last.name + suffix), how)
    assert len(check(checkpoints)) == 1
    assert checkpoints.newest().step == min(STEPS)
    checkpoints.tidy()
    checkpoints.save_checkpoint(state(40), checkpoints.path(40))
    assert checkpoints.newest().step == 40


class _Bomb:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("layout", ["zip", "pickle"])
def test_a_pickle_that_would_run_something_is_refused(checkpoints: Checkpoints, tmp_path: Path, layout: str) -> None:
    last, ran = checkpoints.path(max(STEPS)), tmp_path / "ran"
    content = pickle.dumps({**state(40), "job": KEY, "bomb": _Bomb(ran)})
    if layout == "zip":
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(last.read_bytes())) as good, zipfile.ZipFile(target, "w") as forged:
            for name in good.namelist():
                forged.writestr(name, content if name.endswith("data.pkl") else good.read(name))
        content = target.getvalue()
    forge(last, content)
    found = checkpoints.newest()
    assert found.step == min(STEPS)
    assert "torch cannot read it" in found.refused[0]
    assert not ran.exists()
    with suppress(Exception):  # it goes off, and then torch finds that it is no state
        torch.load(last, weights_only=False)
    assert ran.exists()


def test_another_jobs_checkpoint_is_refused(checkpoints: Checkpoints) -> None:
    other = Checkpoints(checkpoints.folder, "1" * 64)
    found = other.newest()
    assert found.which == "scratch"
    assert [reason.partition(": ")[2] for reason in found.refused] == ["it is not a checkpoint of this job"] * 2


@pytest.mark.parametrize("content", [[1, 2], {"no": "job"}, {"job": torch.zeros(3)}, {"job": None}, torch.zeros(2)])
def test_a_file_of_torch_that_is_no_checkpoint_is_refused(checkpoints: Checkpoints, content: Any) -> None:
    target = io.BytesIO()
    torch.save(content, target)
    forge(checkpoints.path(max(STEPS)), target.getvalue())
    assert check(checkpoints) == ["step-N.ckpt: it is not a checkpoint of this job"]
