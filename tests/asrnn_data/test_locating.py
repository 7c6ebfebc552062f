"""Published files are found in every usual folder layout, and no other file is read."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
import torch

from asrnn.errors import DamagedDataError, MissingDataError
from asrnn_data import image_sets, sources
from asrnn_data.image_sets import ImageSet, check_images, find_images, images_present, verified_files
from asrnn_data.locating import lay_out
from asrnn_data.prepare import Archive, prepare
from asrnn_data.sources import load_images


def idx(*shape: int) -> bytes:
    """A file of MNIST's format, whose numbers are 0, 1, 2, ..."""
    header = b"".join(size.to_bytes(4, "big") for size in (0x800 + len(shape), *shape))
    return header + bytes(range(torch.Size(shape).numel()))


DIGITS = {
    "MNIST/raw/train-images-idx3-ubyte": idx(2, 3, 3),
    "MNIST/raw/train-labels-idx1-ubyte": idx(2),
    "MNIST/raw/t10k-images-idx3-ubyte": idx(1, 3, 3),
    "MNIST/raw/t10k-labels-idx1-ubyte": idx(1),
}
PHOTOGRAPHS = {f"cifar-10-batches-py/{name}": name.encode() * 999 for name in ("data_batch_1", "test_batch")}


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch):
    def small(name, files):
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        return ImageSet(name, digests, (1, 3, 3), "unit", "holdout-10-v1", 1, 1, 1)

    sets = {"digits": small("digits", DIGITS), "photographs": small("photographs", PHOTOGRAPHS)}
    monkeypatch.setattr(image_sets, "IMAGE_SETS", sets)


def write(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def renamed(change) -> dict[str, bytes]:
    return {change(path): content for path, content in DIGITS.items()}


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, content in reversed(files.items()):  # not in the order in which they are asked for
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


PACKED = {f"{path}.gz": gzip.compress(content, mtime=0) for path, content in DIGITS.items()}
HALF = dict(list(DIGITS.items())[:2])

LAYOUTS = {
    "as torchvision has them": (DIGITS, "."),
    "the folder MNIST named": (DIGITS, "MNIST"),
    "the folder raw named": (DIGITS, "MNIST/raw"),
    "another set's folder named": (DIGITS, "cifar-10-batches-py"),
    "all in one folder": (renamed(name_of), "."),
    "without raw": (renamed(lambda path: path.replace("/raw", "")), "."),
    "without MNIST": (renamed(lambda path: path.replace("MNIST/", "")), "."),
    "spelled with a dot": (renamed(lambda path: path.replace("-idx", ".idx")), "."),
    "each in a folder of its name": (renamed(lambda path: f"{name_of(path)}/{name_of(path)}"), "."),
    "packed": (PACKED, "."),
    "packed, in one folder": ({name_of(path): content for path, content in PACKED.items()}, "."),
    "packed, the folder raw named": (PACKED, "MNIST/raw"),
    "half of them packed": ({**HALF, **dict(list(PACKED.items())[2:])}, "."),
    "packed beside what was cut short": ({**PACKED, **{path: content[:5] for path, content in DIGITS.items()}}, "."),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_digits_are_found_and_read_in_every_layout(tmp_path, layout):
    files, named = LAYOUTS[layout]
    write(tmp_path, files)
    (tmp_path / named).mkdir(exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    assert images_present("digits", tmp_path / named)
    check_images("digits", tmp_path / named)
    found = load_images("digits", tmp_path / named)
    assert found["train"].images.flatten().tolist() == list(range(18))
    assert found["train"].images.shape == (2, 1, 3, 3)
    assert found["test"].labels.tolist() == [0]
    assert sorted(tmp_path.rglob("*")) == before  # a folder that may not be written to is enough


def test_links_are_followed(tmp_path):
    write(tmp_path / "there", DIGITS)
    (tmp_path / "digits").symlink_to(tmp_path / "there/MNIST/raw")
    (tmp_path / "links").mkdir()
    for path in DIGITS:
        (tmp_path / "links" / name_of(path)).symlink_to(tmp_path / "there" / path)
    for root in ("digits", "links"):
        assert load_images("digits", tmp_path / root)["test"].images.flatten().tolist() == list(range(9))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("cifar-10-python.tar.gz", "w:gz"), ("cifar-10-python.tgz", "w:gz"), ("cifar-10-python.tar", "w")],
)
@pytest.mark.parametrize("named", [".", "cifar-10-batches-py", "MNIST/raw"])
def test_photographs_are_found_in_their_archive(tmp_path, monkeypatch, name, mode, named):
    (tmp_path / named).mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(tar_of({**PHOTOGRAPHS, "../outside": b"never written"}, mode))
    seen = []
    monkeypatch.setattr(
        sources, "_read", lambda images, root: seen.extend((root / path).read_bytes() for path in images.files)
    )
    load_images("photographs", tmp_path / named)
    assert seen == list(PHOTOGRAPHS.values())
    assert not list(tmp_path.rglob("outside"))


def test_each_archive_is_read_once_for_all_its_files(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(tar_of(PHOTOGRAPHS))
    opened, real = [], tarfile.open
    monkeypatch.setattr("asrnn_data.archives.tarfile.open", lambda *where: opened.append(where) or real(*where))
    check_images("photographs", tmp_path)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"another file", mtime=0), "found " + hashlib.sha256(b"another file").hexdigest()),
        (PACKED["MNIST/raw/train-images-idx3-ubyte.gz"][:-9], "found no whole archive"),
        (b"<html>404</html>", "found no whole archive"),
    ],
)
def test_an_archive_with_other_content_is_named_in_one_line(tmp_path, content, words):
    write(tmp_path, {**PACKED, "MNIST/raw/train-images-idx3-ubyte.gz": content})
    with pytest.raises(DamagedDataError) as raised:
        load_images("digits", tmp_path)
    message = str(raised.value)
    assert f"{tmp_path}/MNIST/raw/train-images-idx3-ubyte.gz does not hold the published MNIST/raw/train-im" in message
    assert words in message
    assert "\n" not in message


def test_a_tar_archive_that_lacks_a_file_or_is_cut_is_damaged(tmp_path):
    whole = tar_of(PHOTOGRAPHS)
    for content in (tar_of(dict(list(PHOTOGRAPHS.items())[1:])), whole[: len(whole) // 2], b""):
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
        with pytest.raises(DamagedDataError, match="found no whole archive"):
            check_images("photographs", tmp_path)


def test_an_archive_that_changes_while_it_is_read_is_damaged(tmp_path):
    """A pickle is read only if these very bytes were compared with the published digest."""
    write(tmp_path, PACKED)
    images = find_images("digits")
    found = verified_files(images, tmp_path)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"another", mtime=0))
    (tmp_path / "copy").mkdir()
    with pytest.raises(DamagedDataError, match="was changed while it was read"):
        lay_out(found, images.files, tmp_path / "copy")


@pytest.mark.parametrize("named", ["MNIST/raw", "MNIST", "cifar-10-batches-py"])
def test_a_missing_file_is_expected_beside_those_that_are_there(tmp_path, named):
    write(tmp_path, HALF)
    (tmp_path / named).mkdir(exist_ok=True)
    with pytest.raises(MissingDataError) as raised:
        check_images("digits", tmp_path / named)
    assert f"looked for MNIST/raw/t10k-images-idx3-ubyte and 1 more in {tmp_path}; run" in str(raised.value)
    assert f"`asrnn-bench prepare --data-dir {tmp_path}`" in str(raised.value)


def prepared(root: Path, name: str = "digits") -> list[str]:
    """Prepare without a network."""
    if name == "digits":
        files = find_images(name).files
        archives = [Archive(f"{name_of(path)}.gz", (), {path: digest}) for path, digest in files.items()]
    else:
        archives = [Archive("cifar-10-python.tar.gz", (), find_images(name).files)]
    lines: list[str] = []
    prepare(root, [name], lines.append, archives={name: archives}, pauses=())
    return lines


@pytest.mark.parametrize("named", [".", "MNIST/raw"])
def test_prepare_unpacks_packed_files(tmp_path, named):
    write(tmp_path, PACKED)
    lines = prepared(tmp_path / named)
    assert all(f"unpacked from {tmp_path}/MNIST/raw" in line.replace("/./", "/") for line in lines)
    assert len(lines) == 4
    assert {path: (tmp_path / path).read_bytes() for path in DIGITS} == DIGITS
    assert not list(tmp_path.rglob("*prepare*"))
    assert all("is already right" in line for line in prepared(tmp_path / named))


def test_prepare_unpacks_an_archive_of_many_files(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(tar_of(PHOTOGRAPHS))
    assert len(prepared(tmp_path, "photographs")) == 2
    assert {path: (tmp_path / path).read_bytes() for path in PHOTOGRAPHS} == PHOTOGRAPHS


def test_prepare_keeps_correct_files_with_other_names(tmp_path):
    write(tmp_path, renamed(lambda path: path.replace("-idx", ".idx")))
    before = sorted(tmp_path.rglob("*"))
    assert all("is already right, as" in line for line in prepared(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_prepare_reads_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    write(tmp_path, PACKED)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("asrnn_data.prepare.tempfile.TemporaryDirectory", refuse)
    lines = prepared(tmp_path)
    assert all("and read there each time" in line for line in lines)
    assert len(lines) == 4


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    write(tmp_path / "d", DIGITS)
    monkeypatch.setenv("HOME", str(tmp_path))
    check_images("digits", "~/d")
    monkeypatch.setenv("ASRNN_DATA_DIR", os.path.join("~", "d", "MNIST"))  # noqa: PTH118 - as a shell leaves it
    check_images("digits")
