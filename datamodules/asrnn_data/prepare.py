"""Fetch the published image sets ahead of time: with retries, verified, moved into place when right."""

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
    """A compressed file on a server, and the files it holds.

    Args:
        name: its name on the server; ``.gz`` holds one file, ``.tar.gz`` holds each file under its own path.
        mirrors: the addresses it is looked for at, each ending with a slash, in this order.
        files: path below the data directory and sha256 of every file that is taken from it.
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
    """Make sure that the image sets lie in the data directory as published, and return that directory.

    A file that is right stays as it is, and what lies there packed is unpacked, or read where it lies if the directory
    cannot be written. Everything else is fetched into a temporary folder inside the data directory, verified, and moved
    into place in one step, so that a killed run leaves no half file under a published name, and a damaged file stands
    until its replacement is known to be right.

    Args:
        data_dir: where to; by default what `resolve_data_dir` names, else ``./data``, which is made.
        images: names of image sets; one that an installed package carries is only checked.
        report: receives one line for each thing that was found or done.
        archives: for each image set what to fetch; by default `published_archives`.
        pauses: seconds between attempts, of which there is one more than there are pauses.
        timeout: seconds that a server may stay silent before an attempt has failed.

    Raises:
        MissingDataError: nothing could be fetched.
        DamagedDataError: what was fetched is not the published file.
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
        except DataError as error:  # the other sets are worth having all the same
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
    except OSError as error:  # such as a folder that others own
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
    """Make a temporary folder in the data directory where there are files for it; nothing is made for none."""
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
    """Return the verified files, trying every mirror in every attempt; without a network the second is the last."""
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
    """Tell whether no connection was made at all: no network, no name server, or nothing that listens."""
    cause = getattr(error, "reason", error)
    nowhere = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
    return isinstance(cause, socket.gaierror | ConnectionRefusedError) or getattr(cause, "errno", None) in nowhere


def _download(url: str, folder: Path, timeout: float) -> None:
    from torchvision.datasets.utils import download_url

    name = url.rsplit("/", 1)[-1]
    (folder / name).unlink(missing_ok=True)  # download_url keeps what is there, and that is an earlier failure
    # Some versions of download_url print, all draw a progress bar, and none takes a time-out.
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
