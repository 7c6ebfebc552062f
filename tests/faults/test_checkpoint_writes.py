"""Case 2: a process killed while it writes a checkpoint never leaves less than there was."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from asrnn_bench.worker.checkpoints import Checkpoints

KEY = "a" * 64
MIB = 1 << 18  # float32 numbers


def _save_for_ever(folder: Path, first: int, told: Any) -> None:
    store = Checkpoints(folder, KEY)
    for step in range(first, first + 10_000):
        store.save_checkpoint({"step": step, "numbers": torch.full((8 * MIB,), float(step))}, store.path(step))
        told.send(step)


KILLS = 8


def test_killed_while_it_saves_it_leaves_a_checkpoint_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/dev/shm")  # noqa: S108 - another file system: nothing may be renamed from there
    store, numbers = Checkpoints(tmp_path / "ckpt", KEY), random.Random(2)
    store.tidy()
    saved = 0
    for _ in range(KILLS):
        heard, told = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=_save_for_ever, args=(store.folder, saved + 1, told))
        child.start()
        assert heard.poll(60)  # the first save of each child is whole; it is killed in one of those that follow
        time.sleep(numbers.uniform(0.0, 0.2))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        while heard.poll():
            saved = heard.recv()
        found = store.newest()
        assert found.step >= saved
        if found.path is not None:
            loaded = store.load_checkpoint(found.path)
            assert loaded["step"] == found.step
            assert (loaded["numbers"] == found.step).all()
        store.tidy()
        assert not list(store.folder.glob(".*"))
        assert {file.suffix for file in store.folder.iterdir()} <= {".ckpt", ".sha256"}
        saved = found.step
    assert saved >= KILLS


def test_two_generations_stay(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, KEY)
    for step in (5, 12, 100):
        store.save_checkpoint({"step": step}, store.path(step))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"step-000000{step}.ckpt{end}" for step in ("12",) for end in ("", ".sha256")] + [
        f"step-00000100.ckpt{end}" for end in ("", ".sha256")
    ]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "foreign", "no digest", "no file", "not torch's"])
def test_a_damaged_last_one_gives_way_to_the_previous_one(tmp_path: Path, damage: str) -> None:
    store = Checkpoints(tmp_path, KEY)
    for step in (1, 2):
        store.save_checkpoint({"step": step, "numbers": torch.ones(1000)}, store.path(step))
    file, sidecar = store.path(2), tmp_path / "step-00000002.ckpt.sha256"
    content = file.read_bytes()
    if damage in ("truncated", "empty", "flipped"):
        changed = {"truncated": content[:-100], "empty": b"", "flipped": content[:500] + b"!" + content[501:]}
        file.write_bytes(changed[damage])
    elif damage == "foreign":
        Checkpoints(tmp_path, "b" * 64).save_checkpoint({"step": 2}, file)
    elif damage == "no digest":
        sidecar.unlink()
    elif damage == "no file":
        file.unlink()
    else:
        from hashlib import sha256

        file.write_bytes(b"not a checkpoint")
        sidecar.write_text(sha256(b"not a checkpoint").hexdigest())
    found = store.newest()
    assert (found.step, found.path) == (1, store.path(1))
    assert found.which == ("last" if damage == "no file" else "previous")
    assert len(found.refused) == (damage != "no file")
    store.tidy(found)
    left = [file.name for file in sorted(tmp_path.iterdir()) if file.suffix != ".refused"]
    assert left == ["step-00000001.ckpt", "step-00000001.ckpt.sha256"]


def test_what_does_not_fit_on_the_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Checkpoints(tmp_path, KEY)
    store.save_checkpoint({"step": 1}, store.path(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save_checkpoint({"step": 2}, store.path(2))
    assert store.newest().step == 1
    assert not list(tmp_path.glob(".*"))
