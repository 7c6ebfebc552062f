"""Test that models of installed packages are found and loaded: modules and plug-ins."""

import hashlib
import importlib.metadata
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from registry_support import BUILT_IN, CELL, one_line, write

from asrnn.errors import ModelError
from asrnn.loading import load_model
from asrnn.registry import ModelSource, find_model, list_models


def test_a_module_of_a_distribution_is_identified_by_its_version() -> None:
    source = find_model("torch.nn.modules.rnn:RNNBase")
    version = importlib.metadata.version("torch")
    assert source == ModelSource(
        "rnn-base", "module", "torch.nn.modules.rnn:RNNBase", {"distribution": "torch", "version": version}
    )
    assert load_model(source) is torch.nn.RNNBase
    old = ModelSource(source.name, source.origin, source.target, {**source.code, "version": "0.1"})
    with pytest.raises(ModelError, match=r"'version': '0.1'.* here is .*: plan it anew$"):
        load_model(old)


def test_a_module_of_no_distribution_is_identified_by_the_digest_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_package_of_mine"
    (package / "inner").mkdir(parents=True)
    write(package / "__init__.py", "raise RuntimeError('finding must not import parents')\n")
    write(package / "inner" / "__init__.py", "from .cells import MyCell\n")
    cells = write(package / "inner" / "cells.py", CELL)
    monkeypatch.syspath_prepend(tmp_path)
    source = find_model("some_package_of_mine.inner.cells:MyCell")
    files = [package / "__init__.py", package / "inner" / "__init__.py", cells]
    names = ["__init__.py", "inner/__init__.py", "inner/cells.py"]
    lines = [f"{n} {hashlib.sha256(f.read_bytes()).hexdigest()}" for n, f in zip(names, files, strict=True)]
    assert source.code == {"sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}
    exported = find_model("some_package_of_mine.inner:MyCell")
    assert (exported.name, exported.code) == ("my-cell", source.code)
    assert not [name for name in sys.modules if name.startswith("some_package_of_mine")]
    with pytest.raises(ModelError, match="RuntimeError: finding must not import parents"):
        load_model(source)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("no_such_package.cells:MyCell", "there is no module 'no_such_package' to import MyCell from"),
        ("torch.no_such:MyCell", "there is no module 'torch.no_such' to import MyCell from"),
        ("torch.nn.modules.rnn.deep:MyCell", "there is no module 'torch.nn.modules.rnn.deep'"),
        ("torch.nn.modules.rnn:RNNBas", "has no class 'RNNBas'; did you mean 'RNNBase'?"),
        ("my cell:MyCell", "there is no module 'my cell'"),
        (":MyCell", "there is no module ''"),
        ("sys:MyCell", "module 'sys' has no file"),
    ],
)
def test_modules_that_cannot_be_found(ref: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(ref)
    assert message in one_line(caught)


def plug_in(folder: Path, entries: str, editable: bool = False) -> None:
    """Lay out an installed distribution by hand, as pip would."""
    write(folder / "plugged_in.py", CELL)
    info = folder / "plugged_in-2.5.dist-info"
    info.mkdir()
    write(info / "METADATA", "Metadata-Version: 2.1\nName: plugged-in\nVersion: 2.5\n")
    write(info / "entry_points.txt", f"[asrnn.cells]\n{entries}")
    write(info / "RECORD", "plugged_in.py,,\nplugged_in-2.5.dist-info/METADATA,,\n")
    if editable:
        write(info / "direct_url.json", '{"url": "file:///x", "dir_info": {"editable": true}}')


def test_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, "their-cell = plugged_in:MyCell\n")
    monkeypatch.syspath_prepend(tmp_path)
    code = {"distribution": "plugged-in", "version": "2.5"}
    source = find_model("their-cell")
    assert source == ModelSource("their-cell", "entry-point", "plugged_in:MyCell", code)
    assert list_models() == sorted([*BUILT_IN, "their-cell"])
    assert find_model("plugged_in:MyCell").code == code
    assert load_model(source).__name__ == "MyCell"
    under_another_name = replace(source, name="a-row-of-a-suite")
    assert load_model(under_another_name) is load_model(source)
    with pytest.raises(ModelError, match=r"'version': '2.4'.* here is .*: plan it anew$"):
        load_model(replace(under_another_name, code={**code, "version": "2.4"}))
    del sys.modules["plugged_in"]


def test_a_plug_in_that_is_not_installed_where_it_should_run() -> None:
    planned = ModelSource("a-row", "entry-point", "gone:MyCell", {"distribution": "gone-cells", "version": "1.0"})
    with pytest.raises(ModelError, match=r"^model 'a-row' is gone:MyCell of gone-cells, which is not installed here$"):
        load_model(planned)


def test_an_editable_plug_in_is_identified_by_its_digest_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, "their-cell = plugged_in:MyCell\n", editable=True)
    monkeypatch.syspath_prepend(tmp_path)
    before = find_model("their-cell")
    assert set(before.code) == {"distribution", "version", "sha256"}
    write(tmp_path / "plugged_in.py", CELL + "# edited\n")
    assert find_model("their-cell").code != before.code


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("their-cell = plugged_in:Missing", "has no class 'Missing'"),
        ("their-cell = gone:MyCell", "there is no module 'gone'"),
        ("their-cell = plugged_in", "is not of the form package.module:Class"),
        ("lstm = plugged_in:MyCell", "'lstm' is the name of a built-in model"),
        ("torch-nn-gru = plugged_in:MyCell", "names that begin with 'torch-nn-' are those of torch.nn's layers"),
        ("Their Cell = plugged_in:MyCell", "cannot be a model's name"),
    ],
)
def test_a_broken_plug_in_is_reported_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, reason: str
) -> None:
    plug_in(tmp_path, f"{entry}\ngood-cell = plugged_in:MyCell\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match="is left out") as warned:
        names = list_models()
    assert names == sorted([*BUILT_IN, "good-cell"])
    assert reason in str(warned[0].message)


def test_a_module_in_a_zip_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("zipped_cells.py", CELL)
    monkeypatch.syspath_prepend(tmp_path / "cells.zip")
    with pytest.raises(ModelError, match="zipped_cells"):
        find_model("zipped_cells:MyCell")
