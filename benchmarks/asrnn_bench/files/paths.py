"""Replace ``~`` in a path by the home folder, in every flag alike."""

import os
from pathlib import Path

from asrnn.errors import UsageError


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` at its start replaced by the home folder.

    A shell does so at the start of a word only, not in ``--output=~/runs`` or in a list.

    Raises:
        UsageError: there is no such home folder, so a folder called ``~`` would be made.
    """
    found = os.path.expanduser(path)  # noqa: PTH111 - Path's own ends with an error of no use where there is no home
    if found.startswith("~"):
        raise UsageError(f"there is no home folder for '{path}'; a folder of that name is ./{path}")
    return Path(found)
