"""A damaged data file is named with both digests before it is read, and only the jobs that need it fail."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_support import TINY
from malformed import NOT_FILES, malform_path, malformed
from rich.console import Console

from asrnn.errors import DamagedDataError, MissingDataError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.choice import LAUNCHERS
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute
from asrnn_data import image_sets, sources
from asrnn_data.image_sets import IMAGE_SETS, ImageSet, check_images, images_present
from asrnn_data.sources import load_images

CONTENT = {
    "MNIST/raw/t10k-images-idx3-ubyte": b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02" + bytes(range(8)),
    "MNIST/raw/t10k-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\x02\x03\x07",
    "cifar-10-batches-py/data_batch_1": b"\x80\x02}q\0(X\x04\0\0\0dataq\x01K\x01X\x06\0\0\0labelsq\x02]q\x03u.",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image set of three small files, and readers that must not be called."""
    digests = {path: sha256(content) for path, content in CONTENT.items()}
    tiny_set = ImageSet("tiny", digests, (1, 2, 2), "unit", "holdout-10-v1", 9, 1, 1)
    monkeypatch.setattr(image_sets, "IMAGE_SETS", {"tiny": tiny_set})

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a damaged file was read")

    for reader in ("_read_mnist", "_read_cifar10", "_read_csv"):
        monkeypatch.setattr(sources, reader, forbidden)
    for path, content in CONTENT.items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
@pytest.mark.parametrize("path", CONTENT)
def test_every_damage_is_found_before_anything_is_read(tiny: Path, path: str, count: int) -> None:
    check_images("tiny", tiny)
    for content in malformed(CONTENT[path], count // 2, seed=count):
        (tiny / path).write_bytes(content)
        with pytest.raises(DamagedDataError) as raised:
            load_images("tiny", tiny)
        message = str(raised.value)
        assert str(tiny / path) in message
        assert f"expected sha256 {sha256(CONTENT[path])}, found {sha256(content)}" in message
        assert "\n" not in message


@pytest.mark.parametrize("how", NOT_FILES)
def test_a_folder_pipe_or_device_in_place_of_a_data_file_is_missing_or_damaged(tiny: Path, how: str) -> None:
    path = tiny / "MNIST/raw/t10k-labels-idx1-ubyte"
    malform_path(path, how)
    if how == "huge":
        with path.open("r+b") as file:
            file.truncate(1 << 20)  # a tebibyte would be digested to its end, as a published file might be large
        with pytest.raises(DamagedDataError):
            load_images("tiny", tiny)
        return
    with pytest.raises(MissingDataError, match="looked for MNIST/raw/t10k-labels-idx1-ubyte in"):
        load_images("tiny", tiny)
    assert not images_present("tiny", tiny)


@pytest.fixture
def data_dir() -> Path:
    """The published MNIST and CIFAR-10."""
    named = os.environ.get("ASRNN_DATA_DIR")
    if not named:
        pytest.skip("ASRNN_DATA_DIR is not set: no published MNIST and CIFAR-10 to test on")
    return Path(named)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "path"),
    [("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"), ("cifar10", "cifar-10-batches-py/batches.meta")],
)
def test_every_damage_of_the_published_files_is_found(data_dir: Path, tmp_path: Path, name: str, path: str) -> None:
    whole = (data_dir / path).read_bytes()
    only = ImageSet(name, {path: IMAGE_SETS[name].files[path]}, (1, 2, 2), "unit", "holdout-10-v1", 9, 1, 1)
    (tmp_path / path).parent.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_sets, "IMAGE_SETS", {name: only})
        for content in malformed(whole, 60, seed=1):
            (tmp_path / path).write_bytes(content)
            with pytest.raises(DamagedDataError, match=Path(path).name):
                check_images(name, tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: bytes([content[0] ^ 1]) + content[1:]]
)
def test_the_jobs_of_damaged_data_fail_at_once_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    """Case 13 of the faults: nothing of the damaged task is started."""
    path = tmp_path / "suite.toml"
    path.write_text(TINY.replace('["permuted-mnist"]', '["permuted-mnist", "pixel-cifar10"]'))
    published = dict(IMAGE_SETS["cifar10-5k-v1"].files)
    file = next(iter(published))
    for name in published:
        target = tmp_path / "data" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(damage(b"what was published") if name == file else b"right")
    monkeypatch.setitem(LAUNCHERS, "publishing", "fake_launchers:PublishingLauncher")
    settings = LaunchSettings("publishing")
    places = Folders(tmp_path / "runs", tmp_path / "leaderboards", tmp_path / "data")
    outcome = execute(make_plan(load_suite(str(path)), Request()), places, settings, Console(quiet=True))
    by_task = {(record.job.task.name, record.status) for record in outcome.records}
    assert by_task == {("permuted-mnist", "done"), ("pixel-cifar10", "failed")}
    assert outcome.started == 3
    for record in outcome.records:
        if record.status == "failed":
            assert file in str(record.reason)
            assert f"expected sha256 {published[file]}, found {sha256(damage(b'what was published'))}" in str(
                record.reason
            )
            assert JobDirectory.of(places.output, record.job).attempts() == []


def test_a_job_that_was_planned_for_another_version_of_its_task_is_refused(tmp_path: Path) -> None:
    from asrnn_bench.worker.building import build_data  # only here: it imports torch

    job = make_plan(load_suite("long-range"), Request()).jobs[0]
    for change in ({"version": 99}, {"assets": {**job.task.assets, "unit": "0" * 64}}):
        with pytest.raises(DamagedDataError, match="planned with another version of task"):
            build_data(job.model_copy(update={"task": job.task.model_copy(update=change)}), tmp_path)
