import os
from pathlib import Path

from asrnn_bench.files.writing import replace
from asrnn_bench.watching.disk_use import DiskUse, disk_use


def test_checkpoints_are_counted_apart_and_a_file_of_two_names_once(tmp_path: Path) -> None:
    for name, kibibytes in {"a/seed-0/attempts/001/result.json": 64, "a/seed-0/ckpt/step-00000001.ckpt": 256}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        replace(tmp_path / name, os.urandom(kibibytes << 10))  # to the disk: blocks are given when they are written
    (tmp_path / "loop").symlink_to(tmp_path)
    before = disk_use(tmp_path)
    os.link(tmp_path / "a/seed-0/attempts/001/result.json", tmp_path / "a/seed-0/result.json")
    assert disk_use(tmp_path) == before
    assert before.checkpoints >= 256 << 10
    assert before.total - before.checkpoints >= 64 << 10
    assert before.total < 400 << 10


def test_a_missing_folder_takes_no_space(tmp_path: Path) -> None:
    assert disk_use(tmp_path / "none") == DiskUse(0, 0)
