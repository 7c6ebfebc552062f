"""A downloaded archive that is damaged or hostile is refused, and leaves no file behind."""

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest
from malformed import OF_BYTES, malformed, normalised, tell

from asrnn.errors import DamagedDataError, DataError, MissingDataError
from asrnn_data import archives, prepare

REASONS_OF_ARCHIVES = 16
"""The least number of different refusals, so that the malformations reach every check."""

FILES = {"batches/one": b"first batch " * 300, "batches/two": b"second batch " * 300}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    """Return whether a folder holds nothing but published files."""
    published = {**FILES, "raw/one": FILES["batches/one"]}
    there = [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]
    return all(published.get(str(path.relative_to(root))) == path.read_bytes() for path in there)


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
def test_a_damaged_archive_is_refused_and_leaves_nothing(
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


def test_a_good_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(monkeypatch, tmp_path / "data", "batches.tar.gz", gzip.compress(WHOLE))
    assert sorted(path.name for path in (tmp_path / "data/batches").iterdir()) == ["one", "two"]
