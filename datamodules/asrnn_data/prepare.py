"""Fetch the published image sets with retries, verify them, and move them into place."""

import errno
import io
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from asrnn.errors import DamagedDataError, DataError, MissingDataError, UsageError
from asrnn_data.archives import NO_WHOLE_ARCHIVE, blocks, members
from asrnn_data.image_sets import (
    DATA_DIR_VARIABLE,
    DEFAULT_DATA_DIR,
    check_images,
    find_images,
    resolve_data_dir,
    sha256_of,
)
from asrnn_data.locating import Place, RightPlaces, lay_out, places, published_root

PAUSES = (1.0, 4.0, 16.0)  # seconds before the second, third and fourth attempt
TIMEOUT = 30.0  # seconds that a server may stay silent


@dataclass(frozen=True)
class Archive:
    """A compressed file on a server, and the files in it.

    Args:
        name: its name on the server. A ``.gz`` holds one file, a ``.tar.gz`` each file under its own path.
        mirrors: the addresses to try, in this order, each with a slash at its end.
        files: the path below the data directory and the sha256 of every file that is used.
    """

    name: str
    mirrors: Sequence[str]
    files: Mapping[str, str]


def published_archives(images: str) -> tuple[Archive, ...]:
    """Return the archives of an image set, at torchvision's own addresses.

    Raises:
        UnknownNameError: there is no such image set.
    """
    from torchvision.datasets import CIFAR10, MNIST

    files = find_images(images).files
    if images == "mnist":
        return tuple(Archive(f"{Path(path).name}.gz", MNIST.mirrors, {path: files[path]}) for path in files)
    return (Archive(CIFAR10.filename, [CIFAR10.url.removesuffix(CIFAR10.filename)], files),)


def prepare(
    data_dir: str | Path | None = None,
    images: Iterable[str] = ("mnist", "cifar10"),
    report: Callable[[str], None] = lambda line: None,
    *,
    archives: Mapping[str, Sequence[Archive]] | None = None,
    pauses: Sequence[float] = PAUSES,
    timeout: float = TIMEOUT,
) -> Path:
    """Put the published image sets into the data directory, and return that directory.

    A file that is right is left alone. A packed file is unpacked, or read in place if the directory is read-only. Every
    other file is fetched into a temporary folder inside the data directory, verified, and moved into place in one step.
    So a killed run leaves no partial file under a published name, and a damaged file stays until its replacement is
    verified.

    Args:
        data_dir: the data directory; by default that of `resolve_data_dir`, else ``./data``, which is created.
        images: the names of image sets. A set that an installed package contains is only checked.
        report: receives one line for each thing that was found or done.
        archives: the archives to fetch for an image set; by default `published_archives`.
        pauses: the seconds between attempts. There is one attempt more than there are pauses.
        timeout: the seconds without an answer from a server after which an attempt fails.

    Raises:
        MissingDataError: nothing could be fetched.
        DamagedDataError: a fetched file is not the published one.
        UsageError: the data directory cannot be written.
        UnknownNameError: there is no such image set.
    """
    root = resolve_data_dir(data_dir) or DEFAULT_DATA_DIR
    missing: list[DataError] = []
    for name in images:
        if find_images(name).package is not None:
            check_images(name)
            report(f"{name}: already right")
            continue
        try:
            for archive in published_archives(name) if archives is None else archives[name]:
                _prepare_archive(name, archive, root, report, pauses, timeout)
        except DataError as error:  # the other sets are useful without this one
            report(f"{name}: {error}")
            missing.append(error)
    if missing:
        raise missing[0]
    return root


def _prepare_archive(
    name: str,
    archive: Archive,
    root: Path,
    report: Callable[[str], None],
    pauses: Sequence[float],
    timeout: float,
) -> None:
    wanted = []
    right = RightPlaces(archive.files)
    packed: dict[str, Place] = {}
    damaged: set[Place] = set()
    for path in archive.files:
        place, wrong, _ = right.find(path, places(root, path))
        if place is None:
            if wrong is not None and wrong not in damaged:
                damaged.add(wrong)
                report(f"{name}: {wrong.file} is damaged{'' if wrong.archive else ' and will be replaced'}")
            wanted.append(path)
        elif place.archive:
            packed[path] = place
        else:
            report(f"{name}: {path} is already right{'' if place.file == root / path else f', as {place.file}'}")
    root = published_root(root, archive.files)
    try:
        with _folder_inside(root, packed) as folder:
            lay_out(packed, archive.files, folder)
            for path, place in packed.items():
                _move(folder / path, root / path)
                report(f"{name}: {path} unpacked from {place.file} and verified")
    except OSError as error:  # such as a folder of another user
        report(f"{name}: right in {next(iter(packed.values())).file}, and read there each time, as {root}: {error}")
    try:
        with _folder_inside(root, wanted) as folder:
            verified = _fetch(archive, wanted, root, folder, report, pauses, timeout) if wanted else {}
            for path in wanted:
                _move(verified[path], root / path)
                report(f"{name}: {path} fetched and verified")
    except OSError as error:
        message = f"cannot write to {root} ({error}); name another place with --data-dir or {DATA_DIR_VARIABLE}"
        raise UsageError(message) from error


@contextmanager
def _folder_inside(root: Path, files: Collection[str]) -> Iterator[Path]:
    """Make a temporary folder in the data directory if there are files for it."""
    if not files:
        yield root
        return
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=root) as folder:
        yield Path(folder)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)


def _fetch(
    archive: Archive,
    wanted: Sequence[str],
    root: Path,
    folder: Path,
    report: Callable[[str], None],
    pauses: Sequence[float],
    timeout: float,
) -> dict[str, Path]:
    """Fetch and verify files, from every mirror in every attempt; without a network, stop after two attempts."""
    damage: DamagedDataError | None = None
    reason = "no mirror is known"
    for attempt, pause in enumerate((0.0, *pauses)):
        time.sleep(pause)
        reachable = False
        for mirror in archive.mirrors:
            url = f"{mirror}{archive.name}"
            try:
                _download(url, folder, timeout)
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                reachable |= not _is_unreachable(error)
                reason = f"{url}: {error}"
                report(f"could not fetch {reason}")
                continue
            reachable = True
            try:
                return _unpack(folder / archive.name, wanted, archive.files, url)
            except DamagedDataError as error:
                damage = error
                report(str(error))
            except NO_WHOLE_ARCHIVE as error:
                reason = f"{url}: what arrived is no whole archive ({error})"
                report(f"could not fetch {reason}")
        if attempt and not reachable:
            break
    if damage is not None:
        raise damage
    raise MissingDataError(
        f"cannot fetch {archive.name} ({reason}); check the network and try again, or put {archive.name} into {root} "
        f"as it is published, or let --data-dir or {DATA_DIR_VARIABLE} name the folder that holds it"
    )


def _is_unreachable(error: Exception) -> bool:
    """Return whether no connection was made: no network, no name server, or no server at the address."""
    cause = getattr(error, "reason", error)
    nowhere = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
    return isinstance(cause, socket.gaierror | ConnectionRefusedError) or getattr(cause, "errno", None) in nowhere


def _download(url: str, folder: Path, timeout: float) -> None:
    from torchvision.datasets.utils import download_url

    name = url.rsplit("/", 1)[-1]
    (folder / name).unlink(
        missing_ok=True
    )  # download_url keeps an existing file, which would be that of a failed attempt
    # Some versions of download_url print, all draw a progress bar, and none has a time-out.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), _socket_timeout(timeout):
        download_url(url, str(folder), name)


def _unpack(path: Path, wanted: Sequence[str], files: Mapping[str, str], url: str) -> dict[str, Path]:
    unpacked = {}
    for number, (member, stream) in enumerate(members(path, wanted)):
        unpacked[member] = path.parent / f"{number}.unpacked"
        with unpacked[member].open("wb") as target:
            target.writelines(blocks(stream, member))
        found = sha256_of(unpacked[member])
        if found != files[member]:
            raise DamagedDataError(
                f"{url} does not hold the published {member}: expected sha256 {files[member]}, "
                f"found {found}; try again later, or copy the file here from elsewhere"
            )
    return unpacked


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
