"""Find published files in folders as people have them: in another folder, under another spelling, or packed.

A file that is found is only a candidate: the reader compares its digest first.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from asrnn.errors import DamagedDataError
from asrnn_data.archives import NO_WHOLE_ARCHIVE, blocks, members

_INNER = (("MNIST", "raw"), ("MNIST",), ("cifar-10-batches-py",))
"""Inner folders of torchvision's layout that people name instead of the outer folder."""

_TARS = {
    "cifar-10-batches-py": ("cifar-10-python.tar.gz", "cifar-10-python.tgz", "cifar-10-python.tar"),
}
"""The names of the archive of an image set, by the folder that it contains."""


@dataclass(frozen=True)
class Place:
    """A place where a published file may be: a file of its own, or an archive."""

    file: Path
    archive: bool = False


def published_root(root: Path, files: Iterable[str]) -> Path:
    """Return the folder to which published paths are relative, even if an inner folder was named.

    >>> published_root(Path("/data/MNIST/raw"), ["MNIST/raw/train-images-idx3-ubyte"])
    PosixPath('/data')
    """
    homes = list(_homes(root))
    with_files = (home for home in homes if any((home / path).is_file() for path in files))
    return next(with_files, root if root.name == "MNIST" else homes[-1])


def places(root: Path, path: str) -> Iterator[Place]:
    """Yield the places below a folder where a published file may be: first the published place, last the archives.

    Args:
        root: the folder that was named.
        path: the file's path below a root that torchvision accepts.
    """
    folder, name = PurePosixPath(path).parent, PurePosixPath(path).name
    names = dict.fromkeys((name, name.replace("-idx", ".idx")))  # train-images.idx3-ubyte
    homes = list(dict.fromkeys(home / inner for home in _homes(root) for inner in _folders(folder)))
    for home in homes:
        for each in names:
            for file in (home / each, home / each / each):  # some tools unpack into a folder with the name of the file
                if file.is_file():
                    yield Place(file)
    packed = [f"{each}.gz" for each in names] if "-idx" in name else _TARS.get(folder.name, ())
    for home in homes:
        yield from (Place(home / each, archive=True) for each in packed if (home / each).is_file())


class RightPlaces:
    """Find the places whose content is right, and read each archive only once for all its files.

    Args:
        files: the path and the sha256 of every published file of one image set.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._archives: dict[Path, dict[str, str]] = {}

    def find(self, path: str, candidates: Iterable[Place]) -> tuple[Place | None, Place | None, str]:
        """Return the first place whose content is right; otherwise None, the first place, and the content found there.

        Args:
            path: the published file.
            candidates: the places where it may be.
        """
        wrong, found_there = None, ""
        for place in candidates:
            found = self._content(place, path)
            if found == self._files[path]:
                return place, None, ""
            if wrong is None:
                wrong, found_there = place, found
        return None, wrong, found_there

    def _content(self, place: Place, path: str) -> str:
        """Return the sha256 of a file, or the fault of the archive that should contain it."""
        if not place.archive:
            with place.file.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        wanted = [path] if "-idx" in path else list(self._files)
        if place.file not in self._archives:
            try:
                self._archives[place.file] = dict(_digests(place.file, wanted))
            except (*NO_WHOLE_ARCHIVE, DamagedDataError) as error:
                self._archives[place.file] = dict.fromkeys(wanted, f"no whole archive ({error})")
        return self._archives[place.file][path]


def lay_out(found: Mapping[str, Place], files: Mapping[str, str], folder: Path) -> None:
    """Put found files into a folder under their published paths: links to files, and copies from archives.

    Args:
        found: the path and the place of each file.
        files: the path and the sha256 of each file.
        folder: the folder.

    Raises:
        DamagedDataError: an archive has changed since it was checked.
    """
    archives: dict[Path, list[str]] = {}
    for path, place in found.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if not place.archive:
            (folder / path).symlink_to(place.file.absolute())
        elif "-idx" in path:
            _unpack(place.file, [path], files, folder)
        else:
            archives.setdefault(place.file, []).append(path)
    for archive, wanted in archives.items():
        _unpack(archive, wanted, files, folder)


def _unpack(archive: Path, wanted: Sequence[str], files: Mapping[str, str], folder: Path) -> None:
    try:
        for path, digest in _digests(archive, wanted, folder):
            if digest != files[path]:
                raise DamagedDataError(f"{archive} was changed while it was read: {path} is not the published file")
    except NO_WHOLE_ARCHIVE as error:
        raise DamagedDataError(f"{archive} is no whole archive ({error})") from error


def _digests(archive: Path, wanted: Sequence[str], folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """Yield the path and the sha256 of the wanted files of an archive, and write them to a folder if one is given."""
    for path, stream in members(archive, wanted):
        digest = hashlib.sha256()
        with (folder / path).open("wb") if folder else nullcontext() as target:
            for block in blocks(stream, path):
                digest.update(block)
                if target is not None:
                    target.write(block)
        yield path, digest.hexdigest()


def _homes(root: Path) -> Iterator[Path]:
    """Yield the named folder, and the folder around it if an inner folder was named."""
    yield root
    for inner in _INNER:
        if root.absolute().parts[-len(inner) :] == inner:
            yield root.absolute().parents[len(inner) - 1]
            return


def _folders(folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """Yield a folder such as MNIST/raw, and its shorter forms, as people leave out parts of it."""
    yield folder
    yield from (PurePosixPath(part) for part in folder.parts)
    yield PurePosixPath()
