"""Test that the identity of a model covers all local code that it imports."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from registry_support import one_line, write

from asrnn.errors import ModelError
from asrnn.loading import load_model
from asrnn.registry import ModelSource, covered_places, find_model, import_roots
from asrnn.sources.local_imports import local_imports

MODEL = """
import torch
from torch import nn
{imports}

class MyCell(nn.Module):
    pass
"""


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as PYTHONPATH has it, whose modules are forgotten at the end."""
    folder = tmp_path / "lib"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return folder


def code_of(path: Path) -> object:
    return dict(find_model(f"{path}:MyCell").code)


def test_a_file_without_local_imports_keeps_its_identity(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="import json, numpy, yaml, rich.table, asrnn.cells"))
    assert list(find_model(f"{path}:MyCell").code) == ["sha256"]


@pytest.mark.parametrize(
    ("statement", "helper"),
    [
        ("import gains_e1", "gains_e1.py"),
        ("from gains_e2 import GAIN", "gains_e2.py"),
        ("def f():\n    import gains_e3", "gains_e3.py"),
        ("try:\n    import gains_e4\nexcept ImportError:\n    pass", "gains_e4.py"),
        ("from importlib import import_module\nimport_module('gains_e5')", "gains_e5.py"),
        ("__import__('gains_e6')", "gains_e6.py"),
        ("from folder_e7 import gains", "folder_e7/gains.py"),
        ("import folder_e8.inner.gains", "folder_e8/inner/gains.py"),
        ("import package_e9", "package_e9/other.py"),
        ("from package_e10.deep import x", "package_e10/kernel.c"),
        ("import chain_e11", "gains_e11.py"),
    ],
)
def test_an_edited_helper_makes_another_model(tmp_path: Path, lib: Path, statement: str, helper: str) -> None:
    file = lib / helper
    file.parent.mkdir(parents=True, exist_ok=True)
    for package in ("package_e9", "package_e10"):
        if file.parent.name == package:
            write(file.parent / "__init__.py", "")
            write(file.parent / "deep.py", "x = 1\n")
    if "chain" in statement:
        write(lib / "chain_e11.py", "import gains_e11\n")
    write(file, "GAIN = 1\n")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports=statement))
    before = code_of(path)
    write(file, "GAIN = 2\n")
    assert code_of(path) != before
    write(file, "GAIN = 1\n")
    assert code_of(path) == before
    assert import_roots(find_model(f"{path}:MyCell")) == [lib]


def test_a_helper_edited_after_planning_is_refused_when_it_is_loaded(tmp_path: Path, lib: Path) -> None:
    write(lib / "gains_l.py", "GAIN = 1\n")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="import gains_l"))
    source = find_model(f"{path}:MyCell")
    write(lib / "gains_l.py", "GAIN = 2\n")
    with pytest.raises(ModelError) as caught:
        load_model(source)
    assert one_line(caught) == (
        "what my_cell.py imports is not what it was when model 'my-cell' was planned: plan it anew"
    )


def test_the_identity_of_a_module_covers_its_imports(lib: Path) -> None:
    write(lib / "gains_m.py", "GAIN = 1\n")
    write(lib / "model_m.py", MODEL.format(imports="import gains_m"))
    first = find_model("model_m:MyCell")
    assert set(first.code) == {"sha256", "imports"}
    assert covered_places(first) == [lib / "model_m.py", lib / "gains_m.py"]
    write(lib / "gains_m.py", "GAIN = 2\n")
    second = find_model("model_m:MyCell")
    assert second.code["sha256"] == first.code["sha256"]
    assert second.code != first.code
    with pytest.raises(ModelError, match="plan it anew"):
        load_model(first)
    assert load_model(second).__name__ == "MyCell"


def test_the_identity_of_a_package_covers_all_its_files(lib: Path) -> None:
    package = lib / "package_all"
    package.mkdir()
    write(package / "__init__.py", MODEL.format(imports=""))
    before = find_model("package_all:MyCell").code
    for name in (".hidden", "__init__.py~", "__pycache__/x.py", "old.pyc"):
        (package / name).parent.mkdir(exist_ok=True)
        write(package / name, "")
        assert find_model("package_all:MyCell").code == before, name
    for name in ("kernel.c", "weights.bin", "data/table.json"):
        (package / name).parent.mkdir(exist_ok=True)
        write(package / name, "1")
        after = find_model("package_all:MyCell").code
        assert after != before, name
        before = after


@pytest.mark.parametrize(
    "imports",
    [
        "import importlib as i\ni.import_module('gains_' + 'd')",
        """import sys, importlib.util as u
spec = u.spec_from_file_location('gains_d', {file!r})
sys.modules['gains_d'] = m = u.module_from_spec(spec)
spec.loader.exec_module(m)""",
    ],
)
def test_local_code_without_an_import_statement_is_refused(tmp_path: Path, lib: Path, imports: str) -> None:
    file = write(lib / "gains_d.py", "GAIN = 1\n")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports=imports.format(file=str(file))))
    with pytest.raises(ModelError) as caught:
        load_model(find_model(f"{path}:MyCell"))
    assert one_line(caught).startswith(
        f"model 'my-cell' imports gains_d from {file} without an import statement, so that an edit there would go"
    )


def test_a_relative_import_of_a_file_is_refused_when_it_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="from .gains import GAIN"))
    with pytest.raises(ModelError, match=r"my_cell\.py, line 4: a relative import; a model's file travels alone"):
        find_model(f"{path}:MyCell")
    either = "try:\n    from .gains import GAIN\nexcept ImportError:\n    GAIN = 1"
    path = write(tmp_path / "either.py", MODEL.format(imports=either))
    assert load_model(find_model(f"{path}:MyCell")).__name__ == "MyCell"


@pytest.mark.parametrize(
    "text",
    [
        "if True:\n    class MyCell(nn.Module): pass",
        "try:\n    import nothing_at_all\nexcept ImportError:\n    class MyCell(nn.Module): pass",
        "def make():\n    class Inner(nn.Module): pass\n    return Inner\nMyCell = make()",
        "MyCell: type = type('MyCell', (nn.Module,), {})",
        "globals()['MyCell'] = type('MyCell', (nn.Module,), {})",
        "from torch.nn import RNN as MyCell",
    ],
)
def test_classes_that_are_not_defined_by_a_class_statement(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "my_cell.py", f"from torch import nn\n{text}\n")
    assert issubclass(load_model(find_model(f"{path}:MyCell")), __import__("torch").nn.Module)


def test_a_class_that_only_running_the_file_shows(tmp_path: Path) -> None:
    path = write(tmp_path / "my_cell.py", "from os.path import *\nclass Other: pass\n")
    with pytest.raises(ModelError, match=r"my_cell\.py has no class 'MyCell'; it has: Other$"):
        load_model(find_model(f"{path}:MyCell"))


def test_installed_distributions_are_not_local(tmp_path: Path, lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution under another name than its module's, in a folder of its own."""
    info = lib / "some_dist-1.0.dist-info"
    info.mkdir()
    write(info / "METADATA", "Metadata-Version: 2.1\nName: some-dist\nVersion: 1.0\n")
    write(info / "RECORD", "dist_module_x.py,,\n")
    write(lib / "dist_module_x.py", "")
    write(lib / "beside_x.py", "")
    assert importlib.metadata.version("some-dist") == "1.0"
    file = write(tmp_path / "a.py", "import dist_module_x, beside_x, os, torch, PIL, asrnn\n")
    assert local_imports([file]) == {"beside_x": lib / "beside_x.py"}


def test_a_helper_may_have_the_name_of_a_standard_module(tmp_path: Path, lib: Path) -> None:
    monkey = write(lib / "this_is_no_standard_module.py", "")
    file = write(tmp_path / "a.py", "import this_is_no_standard_module, json\n")
    assert local_imports([file]) == {"this_is_no_standard_module": monkey}


def test_the_same_file_elsewhere_is_the_same_model(tmp_path: Path, lib: Path) -> None:
    write(lib / "gains_s.py", "GAIN = 1\n")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="import gains_s"))
    source = find_model(f"{path}:MyCell")
    copied = write(tmp_path / "copy.py", path.read_text())
    assert load_model(ModelSource(source.name, source.origin, f"{copied}:MyCell", source.code)).__name__ == "MyCell"


def test_modules_in_a_compilers_cache_are_no_code_of_the_model(
    tmp_path: Path, lib: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Triton's and Inductor's are, which lie below a folder without a package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(lib))
    write(lib / "made_by_a_compiler.py", "")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="__import__('made_by_' + 'a_compiler')"))
    assert load_model(find_model(f"{path}:MyCell")).__name__ == "MyCell"


def test_a_file_of_a_helpers_package_that_cannot_be_parsed_is_ignored(tmp_path: Path, lib: Path) -> None:
    package = lib / "package_with_template"
    package.mkdir()
    write(package / "__init__.py", "")
    write(package / "template.py", "{{ a template }}: print 1\n")
    path = write(tmp_path / "my_cell.py", MODEL.format(imports="import package_with_template"))
    assert set(find_model(f"{path}:MyCell").code) == {"sha256", "imports"}
