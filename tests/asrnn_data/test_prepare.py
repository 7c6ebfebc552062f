"""Images are fetched from a real server on the loopback device."""

import gzip
import hashlib
import io
import os
import socket
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import pytest

from asrnn.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError
from asrnn_data.image_sets import IMAGE_SETS
from asrnn_data.prepare import PAUSES, Archive, prepare, published_archives

IMAGES = b"the images " * 5_000
BATCHES = {"batches/one": b"first batch " * 3_000, "batches/two": b"second batch " * 3_000}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_of(files):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in {**files, "../outside": b"never written"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


class Server:
    """A web server whose downloads can be told to fail; torchvision asks for a redirect, then for content."""

    def __init__(self):
        self.files = {"/images.gz": gzip.compress(IMAGES), "/batches.tar.gz": tar_of(BATCHES)}
        self.troubles = []  # of the coming downloads: a status, or "cut"
        self.downloads = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = server.files[self.path]
                probe = self.headers.get("Method") == "HEAD"
                trouble = None if probe or not server.troubles else server.troubles.pop(0)
                if not probe:
                    server.downloads.append(self.path)
                if isinstance(trouble, int):
                    self.send_error(trouble)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(b"" if probe else content[: len(content) // 2] if trouble == "cut" else content)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.close()


def archives(address, digest=None):
    return {
        "mnist": [Archive("images.gz", [address], {"raw/images": digest or sha256(IMAGES)})],
        "cifar10": [Archive("batches.tar.gz", [address], {k: sha256(v) for k, v in BATCHES.items()})],
    }


def fetch(root, address, images=("mnist",), pauses=(0.0, 0.0), **kwargs):
    lines = []
    prepare(root, images, lines.append, archives=archives(address, **kwargs), pauses=pauses, timeout=5)
    return lines


def files_of(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_all_files_are_fetched_and_no_others_are_left(server, tmp_path, capfd):
    lines = fetch(tmp_path / "new", server.address, images=("mnist", "cifar10"))
    assert files_of(tmp_path) == {f"new/{path}": content for path, content in {"raw/images": IMAGES, **BATCHES}.items()}
    assert [line for line in lines if "fetched and verified" in line] == lines
    assert len(lines) == 3
    sys.stdout.flush()
    assert capfd.readouterr() == ("", "")  # no progress bar, no print
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


def test_a_second_call_downloads_nothing_and_says_so(server, tmp_path):
    fetch(tmp_path, server.address, images=("mnist", "cifar10"))
    before = list(server.downloads)
    lines = fetch(tmp_path, server.address, images=("mnist", "cifar10"))
    assert server.downloads == before
    assert all("is already right" in line for line in lines)


@pytest.mark.parametrize("image_set", ["mnist", "cifar10"])
@pytest.mark.parametrize("trouble", [503, "cut"])
def test_a_failed_download_is_tried_again(server, tmp_path, image_set, trouble):
    server.troubles = [trouble]
    lines = fetch(tmp_path, server.address, images=(image_set,))
    assert len(server.downloads) == 2
    assert lines[0].startswith("could not fetch")
    assert set(files_of(tmp_path)) == ({"raw/images"} if image_set == "mnist" else set(BATCHES))


def test_the_next_mirror_is_tried_if_the_first_fails(server, tmp_path):
    mirrors = [f"http://127.0.0.1:{unused_port()}/", server.address]
    wanted = {"mnist": [Archive("images.gz", mirrors, {"raw/images": sha256(IMAGES)})]}
    prepare(tmp_path, ("mnist",), archives=wanted, pauses=())
    assert files_of(tmp_path) == {"raw/images": IMAGES}


def test_a_server_that_keeps_failing_is_missing_data(server, tmp_path):
    server.troubles = [503, "cut", 503]
    with pytest.raises(MissingDataError, match=r"cannot fetch images\.gz .*503.*check the network"):
        fetch(tmp_path, server.address)
    assert len(server.downloads) == 3
    assert files_of(tmp_path) == {}


def test_content_with_another_digest_is_damaged_data_and_is_not_kept(server, tmp_path):
    with pytest.raises(DamagedDataError) as raised:
        fetch(tmp_path, server.address, digest="0" * 64)
    assert f"expected sha256 {'0' * 64}, found {sha256(IMAGES)}" in str(raised.value)
    assert "raw/images" in str(raised.value)
    assert files_of(tmp_path) == {}


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_is_missing_data_with_advice(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(MissingDataError) as raised:
        fetch(tmp_path, f"http://127.0.0.1:{unused_port()}/")
    assert f"check the network and try again, or put images.gz into {tmp_path}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_a_network_the_second_attempt_is_the_last(tmp_path, monkeypatch):
    def offline(url, folder, timeout):
        raise URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    waited = []
    monkeypatch.setattr("asrnn_data.prepare._download", offline)
    monkeypatch.setattr("asrnn_data.prepare.time.sleep", waited.append)
    with pytest.raises(MissingDataError, match="Name or service not known"):
        prepare(tmp_path, ("mnist",), archives=archives("http://localhost/"))
    assert waited == [0, PAUSES[0]]


def test_a_server_with_bad_answers_is_tried_every_time(server, tmp_path):
    server.troubles = [503, "cut", 503, "cut"]
    with pytest.raises(MissingDataError):
        fetch(tmp_path, server.address, pauses=(0.0, 0.0, 0.0))
    assert len(server.downloads) == 4


def test_a_silent_server_is_abandoned_after_the_timeout(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    before = socket.getdefaulttimeout()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        wanted = archives(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(MissingDataError, match="timed out"):
            prepare(tmp_path, ("mnist",), archives=wanted, pauses=(), timeout=0.2)
    assert socket.getdefaulttimeout() == before


def test_a_damaged_file_is_kept_until_its_replacement_is_verified(server, tmp_path):
    path = tmp_path / "raw/images"
    path.parent.mkdir()
    path.write_bytes(IMAGES[:-1])
    server.troubles = ["cut", "cut", "cut"]
    with pytest.raises(MissingDataError):
        fetch(tmp_path, server.address)
    assert path.read_bytes() == IMAGES[:-1]
    lines = fetch(tmp_path, server.address)
    assert path.read_bytes() == IMAGES
    assert "is damaged and will be replaced" in lines[0]


def test_correct_files_of_an_archive_are_kept_while_others_are_fetched(server, tmp_path):
    fetch(tmp_path, server.address, images=("cifar10",))
    kept = tmp_path / "batches/one"
    os.utime(kept, (1, 1))
    (tmp_path / "batches/two").unlink()
    fetch(tmp_path, server.address, images=("cifar10",))
    assert kept.stat().st_mtime == 1
    assert (tmp_path / "batches/two").read_bytes() == BATCHES["batches/two"]


def test_files_left_by_a_killed_run_do_no_harm(server, tmp_path):
    left = tmp_path / ".prepare-killed"
    left.mkdir()
    (left / "images.gz").write_bytes(b"half of it")
    fetch(tmp_path, server.address)
    assert (tmp_path / "raw/images").read_bytes() == IMAGES


def test_a_directory_that_cannot_be_written_is_a_usage_error(server, tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(UsageError, match=r"cannot write to .*file"):
        fetch(tmp_path / "file", server.address)


def test_embedded_images_are_only_checked(tmp_path):
    lines = []
    prepare(tmp_path, ("mnist-5k-v1",), lines.append)
    assert lines == ["mnist-5k-v1: already right"]
    with pytest.raises(UnknownNameError):
        prepare(tmp_path, ("minst",))


def test_the_default_directory_is_the_resolved_one(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASRNN_DATA_DIR", str(tmp_path / "named"))
    assert prepare(None, ("mnist",), archives=archives(server.address)) == tmp_path / "named"
    monkeypatch.delenv("ASRNN_DATA_DIR")
    prepare(None, ("mnist",), archives=archives(server.address))
    assert (tmp_path / "data/raw/images").read_bytes() == IMAGES


def test_published_archives_list_exactly_the_checked_files():
    for name in ("mnist", "cifar10", "cifar10-5k-v1"):
        held = {path: digest for archive in published_archives(name) for path, digest in archive.files.items()}
        assert held == IMAGE_SETS[name].files
        for archive in published_archives(name):
            assert all(mirror.endswith("/") for mirror in archive.mirrors)
            assert archive.name.endswith(".gz")


@pytest.mark.real_data
def test_published_files_on_disk_are_correct(data_dir):
    lines = []
    assert prepare(data_dir, report=lines.append) == data_dir
    assert len(lines) == 11
    assert all("already right" in line for line in lines)


def test_an_archive_that_would_fill_the_disk_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("asrnn_data.archives.LARGEST_FILE", len(IMAGES) - 1)
    with pytest.raises(DamagedDataError, match="which no published file is"):
        fetch(tmp_path, server.address)
    assert files_of(tmp_path) == {}
