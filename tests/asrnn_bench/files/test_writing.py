import os
from pathlib import Path

import pytest

from asrnn_bench.files import writing as atomic
from asrnn_bench.files.writing import replace, sync_file_system


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_everybody_may_read_it(tmp_path: Path, durable: bool) -> None:
    before = os.umask(0o077)
    try:
        for text in ("first", "second"):
            replace(tmp_path / "file", text, durable=durable)
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "second"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_written_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(tmp_path / "file", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_file_system_is_waited_for_or_the_error_is_said(tmp_path: Path) -> None:
    sync_file_system(tmp_path)
    with pytest.raises(OSError):
        sync_file_system(tmp_path / "none")
