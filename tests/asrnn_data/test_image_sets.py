import hashlib
import os
from pathlib import Path

import pytest

from asrnn.errors import DamagedDataError, MissingDataError, UnknownNameError
from asrnn_data import image_sets
from asrnn_data.image_sets import IMAGE_SETS, ImageSet, check_images, images_present, resolve_data_dir

CONTENT = {"deep/one": b"first file", "deep/two": b"second file"}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An image set of two small files, complete in the returned directory."""
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
    tiny_set = ImageSet("tiny", digests, (1, 2, 2), "unit", "holdout-10-v1", 9, 1, 1)
    monkeypatch.setattr(image_sets, "IMAGE_SETS", {"tiny": tiny_set})
    for path, content in CONTENT.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def test_a_complete_set_is_present_and_passes(tiny):
    assert images_present("tiny", tiny)
    check_images("tiny", tiny)


def test_a_missing_file_is_named_with_what_to_do(tiny):
    (tiny / "deep/two").unlink()
    assert not images_present("tiny", tiny)
    with pytest.raises(MissingDataError) as raised:
        check_images("tiny", tiny)
    message = str(raised.value)
    assert "looked for deep/two in " + str(tiny) in message
    assert "deep/one" not in message
    assert "asrnn-bench prepare" in message
    assert "--data-dir or ASRNN_DATA_DIR" in message
    assert "\n" not in message


def truncate(content: bytes) -> bytes:
    return content[:-1]


def flip_one_bit(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.parametrize("damage", [truncate, flip_one_bit])
def test_a_damaged_file_is_named_with_both_digests(tiny, damage):
    path = tiny / "deep/one"
    path.write_bytes(damage(CONTENT["deep/one"]))
    assert images_present("tiny", tiny)  # presence alone reads nothing
    with pytest.raises(DamagedDataError) as raised:
        check_images("tiny", tiny)
    message = str(raised.value)
    assert str(path) in message
    assert f"expected sha256 {hashlib.sha256(CONTENT['deep/one']).hexdigest()}" in message
    assert f"found {hashlib.sha256(path.read_bytes()).hexdigest()}" in message
    assert "run `asrnn-bench prepare --data-dir" in message
    assert "\n" not in message


@pytest.mark.real_data
@pytest.mark.parametrize("damage", [truncate, flip_one_bit])
@pytest.mark.parametrize(
    ("name", "path"),
    [("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"), ("cifar10", "cifar-10-batches-py/batches.meta")],
)
def test_damage_to_the_published_files_is_found(data_dir, tmp_path, name, path, damage):
    for file in IMAGE_SETS[name].files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).symlink_to((data_dir / file).resolve())
    check_images(name, tmp_path)
    content = (tmp_path / path).read_bytes()
    (tmp_path / path).unlink()
    (tmp_path / path).write_bytes(damage(content))
    with pytest.raises(DamagedDataError, match=Path(path).name):
        check_images(name, tmp_path)


def test_the_argument_wins_over_the_environment_over_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASRNN_DATA_DIR", raising=False)
    assert resolve_data_dir() is None
    (tmp_path / "data").mkdir()
    assert resolve_data_dir() == Path("data")
    monkeypatch.setenv("ASRNN_DATA_DIR", "/from/environment")
    assert resolve_data_dir() == Path("/from/environment")
    assert resolve_data_dir("/from/argument") == Path("/from/argument")
    monkeypatch.setenv("ASRNN_DATA_DIR", "")
    assert resolve_data_dir() == Path("data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_data_dir("~/d") == tmp_path / "d"


def test_without_a_data_directory_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASRNN_DATA_DIR", raising=False)
    assert not images_present("mnist")
    with pytest.raises(MissingDataError, match=r"no --data-dir and no ASRNN_DATA_DIR is given and there is no \./data"):
        check_images("mnist")


def test_a_missing_package_is_named(monkeypatch):
    absent = ImageSet("absent", {"a": "0"}, (1, 1, 1), "unit", "balanced-5k-v1", 1, 1, 1, package="no_such_package")
    monkeypatch.setattr(image_sets, "IMAGE_SETS", {"absent": absent})
    assert not images_present("absent")
    with pytest.raises(MissingDataError, match="package 'no_such_package' is not installed; reinstall it"):
        check_images("absent")


def test_the_embedded_digits_need_no_directory(tmp_path):
    assert images_present("mnist-5k-v1", tmp_path / os.devnull)
    check_images("mnist-5k-v1")


def test_an_unknown_image_set_is_refused():
    with pytest.raises(UnknownNameError, match="unknown image set 'cifar'; did you mean 'cifar10'"):
        check_images("cifar")
