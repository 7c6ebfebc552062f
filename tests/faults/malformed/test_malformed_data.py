"""Data files that are damaged: named with both digests before anything reads them, and only their own tasks suffer."""

import gzip
import hashlib
import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_support import TINY
from malformed import NO_FILES, OF_BYTES, malform_path, malformed, normalised, tell
from rich.console import Console

from asrnn.errors import DamagedDataError, DataError, MissingDataError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.choice import LAUNCHERS
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute
from asrnn_data import archives, image_sets, prepare, sources
from asrnn_data.image_sets import IMAGE_SETS, ImageSet, check_images, images_present
from asrnn_data.sources import load_images

REASONS_OF_ARCHIVES = 16
"""How many different refusals there are to be at least, so that the malformations keep meeting every check."""

CONTENT = {
    "MNIST/raw/t10k-images-idx3-ubyte": b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02" + bytes(range(8)),
    "MNIST/raw/t10k-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\x02\x03\x07",
    "cifar-10-batches-py/data_batch_1": b"\x80\x02}q\0(X\x04\0\0\0dataq\x01K\x01X\x06\0\0\0labelsq\x02]q\x03u.",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image set of three small files, and readers that nothing may come to."""
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


@pytest.mark.parametrize("how", NO_FILES)
def test_what_is_no_file_is_missing_or_damaged(tiny: Path, how: str) -> None:
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


FILES = {"batches/one": b"first batch " * 300, "batches/two": b"second batch " * 300}


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


WHOLE = tar_of(*((member(name), content) for name, content in FILES.items()))


def fetch(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, content: bytes) -> None:
    """Prepare an image set from an archive that holds these bytes."""
    files = FILES if name.endswith(".tar.gz") else {"raw/one": FILES["batches/one"]}
    monkeypatch.setattr(prepare, "_download", lambda url, folder, timeout: (folder / name).write_bytes(content))
    archive = prepare.Archive(name, ["http://localhost/"], {path: sha256(text) for path, text in files.items()})
    prepare.prepare(root, ["cifar10"], archives={"cifar10": [archive]}, pauses=())


def right(root: Path) -> bool:
    """Whether what lies below a folder are the published files and nothing else."""
    published = {**FILES, "raw/one": FILES["batches/one"]}
    there = [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]
    return all(published.get(str(path.relative_to(root))) == path.read_bytes() for path in there)


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
def test_an_archive_that_is_none_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    reasons: set[str] = set()
    rng = random.Random(count)
    for number in range(count):
        name = rng.choice(["batches.tar.gz", "one.gz"])
        inner = WHOLE if name.endswith(".tar.gz") else FILES["batches/one"]
        if rng.random() < 0.5:
            content = next(malformed(gzip.compress(inner), 1, seed=number))
        else:
            # The headers of the first kilobyte are what a reader trips over.
            content = gzip.compress(rng.choice(OF_BYTES)(inner[:600], rng) + inner[600:])
        try:
            fetch(monkeypatch, tmp_path / "data", name, content)
        except DataError as error:
            reasons.add(normalised(str(error)))
        assert right(tmp_path / "data")
    tell(f"{count} malformed archives, {len(reasons)} reasons")
    assert not [reason for reason in reasons if "\n" in reason]
    assert len(reasons) >= (REASONS_OF_ARCHIVES if count > 100 else 3), sorted(reasons)


@pytest.mark.parametrize(
    "members",
    [
        [(member("batches/one", tarfile.SYMTYPE, "batches/one"), b"")],
        [(member("batches/one", tarfile.SYMTYPE, "two"), b""), (member("batches/two", tarfile.SYMTYPE, "one"), b"")],
        [(member("batches/one", tarfile.LNKTYPE, "batches/one"), b"")],
        [(member("batches/one", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("batches/one", tarfile.DIRTYPE), b"")],
        [(member("batches/one", tarfile.CHRTYPE), b"")],
        [(member("batches/one", tarfile.FIFOTYPE), b"")],
        [(member("../batches/one"), FILES["batches/one"]), (member("/batches/two"), FILES["batches/two"])],
    ],
)
def test_an_archive_of_links_devices_and_other_paths_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    with pytest.raises(MissingDataError, match="what arrived is no whole archive"):
        fetch(monkeypatch, tmp_path / "data", "batches.tar.gz", gzip.compress(tar_of(*members)))
    assert right(tmp_path / "data")
    assert not (tmp_path / "batches").exists()


def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_FILE", 1 << 20)
    with pytest.raises(DamagedDataError, match="is larger than"):
        fetch(monkeypatch, tmp_path / "data", "one.gz", gzip.compress(bytes(3 << 20)))
    assert right(tmp_path / "data")


def test_a_good_archive_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(monkeypatch, tmp_path / "data", "batches.tar.gz", gzip.compress(WHOLE))
    assert sorted(path.name for path in (tmp_path / "data/batches").iterdir()) == ["one", "two"]
