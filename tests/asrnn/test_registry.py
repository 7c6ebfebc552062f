"""Test that built-in cells and files are found without an import, and that every mistake gives a clear line."""

import hashlib
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from registry_support import BUILT_IN, CELL, one_line, write

from asrnn.cells.antisymmetric_gated import AntisymmetricGated
from asrnn.errors import ModelError, UnknownNameError, UsageError
from asrnn.loading import load_model
from asrnn.registry import ModelSource, find_model, list_models, model_sources
from asrnn.sources.local_imports import TRAVELS_ALONE


def test_built_in_models() -> None:
    sources = {source.name: source for source in model_sources() if source.origin == "built-in"}
    assert list(sources) == BUILT_IN
    names = list_models()
    assert names == [source.name for source in model_sources()] == sorted(names)
    assert {type(name) for name in names} == {str}
    assert sources["antisymmetric-gated"] == ModelSource(
        "antisymmetric-gated",
        "built-in",
        "asrnn.cells.antisymmetric_gated:AntisymmetricGated",
        {"version": AntisymmetricGated.version},
    )
    for name, source in sources.items():
        assert find_model(name) == source
        assert find_model(source.target) == source
        assert f"{load_model(source).__module__}:{load_model(source).__name__}" == source.target


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_model("antisymetric")
    assert one_line(caught).startswith("unknown model 'antisymetric'; did you mean 'antisymmetric'? there is:")


@pytest.mark.parametrize("name", ["antisymmetric_gated", "LSTM", "base", "initialization", "", "../cells/lstm"])
def test_names_that_are_not_registered(name: str) -> None:
    with pytest.raises(UnknownNameError):
        find_model(name)


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "my_cell.py", CELL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    source = find_model("my_cell.py:MyCell")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert source == ModelSource("my-cell", "file", f"{path.resolve()}:MyCell", {"sha256": digest})
    model = load_model(source)
    assert issubclass(model, torch.nn.Module)
    assert load_model(source) is model
    assert isinstance(pickle.loads(pickle.dumps(model())), model)  # noqa: S301 - our own bytes
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_copied_file_is_the_same_model(tmp_path: Path) -> None:
    source = find_model(f"{write(tmp_path / 'my_cell.py', CELL)}:MyCell")
    copied = write(tmp_path / "copy.py", CELL)
    moved = ModelSource(source.name, source.origin, f"{copied}:MyCell", source.code)
    assert load_model(moved) is load_model(source)


def test_an_edited_file_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same length within the same second, which a bytecode cache would take for the same."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # or there would be no cache to be misled by
    path = write(tmp_path / "my_cell.py", CELL + "VALUE = 1\n")
    first = find_model(f"{path}:MyCell")
    assert sys.modules[load_model(first).__module__].VALUE == 1
    write(path, CELL + "VALUE = 2\n")
    with pytest.raises(ModelError, match=r"was changed since model 'my-cell' was planned: plan it anew$"):
        load_model(first)
    second = find_model(f"{path}:MyCell")
    assert second.code != first.code
    assert sys.modules[load_model(second).__module__].VALUE == 2


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("MyCell", "my-cell"),
        ("MyRNN", "my-rnn"),
        ("LSTMCell2D", "lstm-cell2-d"),
        ("_Hidden_cell", "hidden-cell"),
    ],
)
def test_class_names_in_kebab_case(tmp_path: Path, class_name: str, name: str) -> None:
    path = write(tmp_path / "cells.py", f"class {class_name}: pass\n")
    assert find_model(f"{path}:{class_name}").name == name


def test_a_class_with_the_name_of_a_built_in_model_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.py", "class LSTM: pass\n")
    with pytest.raises(UsageError, match=r"would be called 'lstm', as a built-in model is: rename the class$"):
        find_model(f"{path}:LSTM")


def test_a_class_name_that_gives_no_model_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.py", "class Größe: pass\n")
    with pytest.raises(UsageError, match="'größe' cannot be a model's name"):
        find_model(f"{path}:Größe")


def test_a_file_with_a_syntax_error(tmp_path: Path) -> None:
    path = write(tmp_path / "broken.py", "import torch\n\nclass MyCell(:\n    pass\n")
    with pytest.raises(ModelError) as caught:
        find_model(f"{path}:MyCell")
    assert one_line(caught) == f"{path}, line 3: invalid syntax"


def test_a_file_without_the_class(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", CELL)
    with pytest.raises(ModelError) as caught:
        find_model(f"{path}:MyCel")
    assert one_line(caught) == f"{path} has no class 'MyCel'; did you mean 'MyCell'? it has: MyCell, Other"
    empty = write(tmp_path / "empty.py", "")
    with pytest.raises(ModelError) as caught:
        find_model(f"{empty}:MyCell")
    assert one_line(caught) == f"{empty} has no class 'MyCell'; it has: none"


def test_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "my_cell.py", CELL)
    with pytest.raises(ModelError) as caught:
        find_model(f"{tmp_path / 'my_cel.py'}:MyCell")
    assert one_line(caught) == f"there is no file {tmp_path / 'my_cel.py'}; did you mean 'my_cell.py'?"


def test_files_that_cannot_be_read_as_python(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "binary.py").write_bytes(b"\x00\x01")
    (tmp_path / "latin.py").write_bytes(b"# \xff\n")
    for name in ("folder.py", "binary.py", "latin.py"):
        with pytest.raises(ModelError, match=name):
            find_model(f"{tmp_path / name}:MyCell")


def test_a_file_without_a_class_name(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", CELL)
    with pytest.raises(UsageError) as caught:
        find_model(str(path))
    assert one_line(caught) == f"'{path}' does not say which class: write {path}:MyCell"


@pytest.mark.parametrize(
    ("body", "line", "error"),
    [
        ("import torch\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        (
            "import not_installed_anywhere\n",
            1,
            (f"ModuleNotFoundError: No module named 'not_installed_anywhere'; {TRAVELS_ALONE}"),
        ),
        ("def f():\n    raise ValueError('two\\nlines')\n\nf()\n", 2, "ValueError: two lines"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
    ],
)
def test_a_file_that_fails_when_imported(tmp_path: Path, body: str, line: int, error: str) -> None:
    path = write(tmp_path / "failing.py", body + "\nclass MyCell: pass\n")
    source = find_model(f"{path}:MyCell")
    before = set(sys.modules)
    with pytest.raises(ModelError) as caught:
        load_model(source)
    assert one_line(caught) == f"{path}, line {line}: importing failed: {error}"
    assert caught.value.__cause__ is not None
    assert not {name for name in set(sys.modules) - before if name.startswith("asrnn_model_")}


def test_a_class_that_is_no_module(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", CELL)
    with pytest.raises(ModelError, match=r"derived from torch.nn.Module; it is class Other$"):
        load_model(find_model(f"{path}:Other"))
    with pytest.raises(ModelError, match=r"derived from torch.nn.Module; it is of type builtin_function"):
        load_model(find_model("torch:add"))


def test_finding_does_not_import_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", CELL)
    script = f"""
        import sys
        import asrnn
        asrnn.__version__, dir(asrnn), asrnn.list_models(), asrnn.find_model("lstm")
        asrnn.find_model({str(path) + ":MyCell"!r}), asrnn.find_model("torch.nn:GRU")
        assert not {{"torch", "numpy", "lightning", "pandas"}} & set(sys.modules), sorted(sys.modules)
        assert asrnn.build_model("rnn", input_size=1, hidden_size=2, num_outputs=3) is not None
        assert "torch" in sys.modules and "lightning" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_the_package_exports_what_it_lists() -> None:
    import asrnn

    for name in asrnn._HOME:
        assert getattr(asrnn, name).__name__ == name
    assert set(asrnn._HOME) <= set(dir(asrnn))
    assert asrnn.__version__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        asrnn.nothing  # noqa: B018
