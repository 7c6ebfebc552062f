"""Configure the documentation site; `make docs` builds it into `docs/_build`, without a network."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the two extensions below

project = "asrnn-bench"
author = "The asrnn-bench founders"
copyright = author
version = release = installed_version("asrnn-bench")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated_pages",
    "mathml",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # pages that are included begin with a heading of their own

html_theme = "furo"
html_title = "asrnn-bench"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["tables.css"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

nitpicky = True
nitpick_ignore_regex = [
    # Links to other projects: their inventories would have to be fetched.
    (r"py:.*", r"(torch|lightning|numpy|pandas|pd|nn|collections|typing|types|pathlib|annotated_types)(\..*)?"),
    # Types in signatures that no page documents: type variables, aliases, and classes of the inside.
    (r"py:class", r"[A-Za-z_]+"),
    (r"py:class", r"asrnn_data\.(batches|image_sets)\..*"),
    (r"py:class", r"asrnn\.(contract\.report\.Finding|ops\.recurrence\.Step)"),
    # A docstring of an attribute with a colon in it: what stands before the colon is taken for a type.
    (r"py:class", r".*\s.*"),
    # Modules of the inside, which docstrings name for people who read the code.
    (r"py:mod", r"asrnn\.ops\..*"),
]
