"""Datasets from their original files: decoded right, verified before anything is read, refused for what is wrong."""

from __future__ import annotations

import ast
import errno
import gzip
import http.server
import importlib
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from advntk.foundation import registry
from advntk.foundation.errors import ConfigError, InputError
from advntk.ingredients import download
from advntk.ingredients.datasets import cifar10, cifar100
from advntk.ingredients.images import KEYS, SplitSizes, checked, prepare, read_prepared
from advntk.ingredients.splits import make_split
from advntk.suite import DATASETS
from tests.ingredients.original_files import ARCHIVES, FORMS, PACKAGE, Originals, sha256, write, write_archive

ROOT = Path(__file__).parents[2]
NAMES = sorted(FORMS)
POOLS = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "svhn": (73_257, 26_032),
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No pauses between tries, no proxy between a test and its server."""
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def sizes(originals: Originals, **changes) -> SplitSizes:
    given = {"mirror": str(originals.folder), "n_opt": 20, "n_val": 10, "n_test": 20} | changes
    return registry.get(DATASETS, originals.dataset).options(**given)


def load(originals: Originals, folder: Path, **changes):
    return registry.get(DATASETS, originals.dataset).load(sizes(originals, **changes), folder)


def left(folder: Path) -> list[Path]:
    """What lies in a folder, hidden files too."""
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def size_for(name: str) -> dict[str, int]:
    return {"train": 200, "test": 100} if name == "cifar100" else {}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mirror_holds_is_what_is_decoded(name, tmp_path, monkeypatch):
    originals = write(name, tmp_path / "mirror", **size_for(name))
    originals.accept(monkeypatch)
    entry = registry.get(DATASETS, name)
    prepare(entry, sizes(originals), downloads=tmp_path / "data", out=tmp_path / "out.npz")
    found = read_prepared(tmp_path / "out.npz")
    for key in KEYS:
        np.testing.assert_array_equal(getattr(found, key), getattr(originals.images, key))
    assert found.classes == entry.classes == originals.images.classes
    assert set(found.y_train) == set(range(entry.classes))  # of SVHN too, where the digit 0 has the label 10
    # files already fetched are used again, mirror or not; nothing that was extracted from them is kept
    shutil.rmtree(originals.folder)
    np.testing.assert_array_equal(load(originals, tmp_path / "data").x_test, found.x_test)
    kept = {path.name for path in left(tmp_path / "data")}
    assert kept == set(originals.constants["CHECKSUMS"])


@pytest.mark.parametrize("name", NAMES)
def test_a_url_is_a_mirror(name, tmp_path, monkeypatch, capsys):
    originals = write(name, tmp_path / "mirror", **size_for(name))
    originals.accept(monkeypatch)
    images = load(originals, tmp_path / "data", mirror=originals.folder.as_uri())
    assert checked(images, "here") is images
    np.testing.assert_array_equal(images.y_test, originals.images.y_test)
    assert "MiB" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_the_generated_images_can_be_learnt(name, tmp_path):
    images = write(name, tmp_path, **size_for(name)).images
    means = np.stack([images.x_train[images.y_train == c].mean(axis=0) for c in range(images.classes)])
    distances = ((images.x_test[:, None].astype(float) - means) ** 2).sum(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == images.y_test).mean() > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_checked_against_the_pools_and_against_what_is_there(name, tmp_path, monkeypatch):
    options = registry.get(DATASETS, name).options
    assert options.pools == POOLS[name]
    assert (options().n_opt, options().n_val) == (10_000, 2_000)
    with pytest.raises(ValueError, match=f"more than the {POOLS[name][0]} images"):
        options(n_opt=POOLS[name][0])
    originals = write(name, tmp_path / "mirror", **size_for(name))
    originals.accept(monkeypatch)
    images = load(originals, tmp_path / "data")
    count = len(images.x_train)
    assert len(make_split(images, sizes(originals, n_opt=count - 10), dataset=name, seed=0).test) == 20
    with pytest.raises(ConfigError, match=rf"n_opt \+ n_val = {count + 1} is more than the {count} images"):
        make_split(images, sizes(originals, n_opt=count - 9), dataset=name, seed=0)


def first_file(originals: Originals) -> Path:
    """The file that is fetched first."""
    name = next(iter(originals.constants["CHECKSUMS"]))
    return originals.folder / (f"{name}.gz" if "ubyte" in name else name)


@pytest.mark.parametrize("kind", ["folder", "url"])
@pytest.mark.parametrize("name", NAMES)
def test_a_mirror_with_faults(name, kind, tmp_path, monkeypatch):
    originals = write(name, tmp_path / "mirror")
    originals.accept(monkeypatch)
    first, data = first_file(originals), tmp_path / "data"
    mirror = str(originals.folder) if kind == "folder" else originals.folder.as_uri()
    whole = first.read_bytes()
    first.write_bytes(whole[:-100])
    truncated = "truncated or corrupt" if first.name.endswith("ubyte.gz") else "wrong checksum"
    with pytest.raises(InputError, match=rf"{first.name}: {truncated}.*; set 'mirror' to a folder or URL"):
        load(originals, data, mirror=mirror)
    write(name, originals.folder, seed=1)
    found = r"SHA-256 [0-9a-f]{12}… instead of [0-9a-f]{12}… \([\d,]+ bytes\)"
    with pytest.raises(InputError, match=rf"{first.name}: wrong checksum: {found}; set 'mirror'"):
        load(originals, data, mirror=mirror)
    first.unlink()
    lacking = "no such file in the mirror" if kind == "folder" else r"cannot download \(.*No such file.*\)"
    with pytest.raises(InputError, match=rf"{first.name}: {lacking}; .*set 'mirror'"):
        load(originals, data, mirror=mirror)
    assert not left(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_changed_after_it_was_fetched_is_fetched_again(name, tmp_path, monkeypatch):
    originals = write(name, tmp_path / "mirror")
    originals.accept(monkeypatch)
    load(originals, tmp_path / "data")
    (fetched,) = (tmp_path / "data").rglob(next(iter(originals.constants["CHECKSUMS"])))
    fetched.write_bytes(fetched.read_bytes()[:-1])
    np.testing.assert_array_equal(load(originals, tmp_path / "data").x_train, originals.images.x_train)
    fetched.unlink()
    shutil.rmtree(originals.folder)
    with pytest.raises(InputError, match="no such file in the mirror"):
        load(originals, tmp_path / "data")


def test_a_file_without_permission(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(InputError, match="a: no permission to read the file; change its permissions"):
        download.fetch({"a": "0" * 64}, source=str(tmp_path), folder=tmp_path / "data")


class Planted:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def trap(tmp_path):
    """A pickle that is not CIFAR's, and the folder that it makes when it is read."""
    made = tmp_path / "made"
    content = pickle.dumps(Planted(made))
    pickle.loads(content)
    assert made.is_dir()
    made.rmdir()
    return content, made


def contents(originals: Originals) -> dict[str, bytes]:
    """Members of an archive."""
    name, inside = ARCHIVES[originals.dataset]
    with tarfile.open(originals.folder / name) as archive:
        return {
            member.name.removeprefix(f"{inside}/"): archive.extractfile(member).read()
            for member in archive.getmembers()
        }


CIFARS = {"cifar10": cifar10, "cifar100": cifar100}


@pytest.mark.parametrize("which", [0, -2, -1], ids=["train", "test", "meta"])
@pytest.mark.parametrize("name", CIFARS)
def test_a_pickle_that_is_not_cifars_is_never_read(name, which, tmp_path, monkeypatch, trap):
    content, made = trap
    originals = write(name, tmp_path / "mirror")
    originals.accept(monkeypatch)
    members = contents(originals)
    member = list(members)[which]
    changed = write_archive(name, originals.folder, members | {member: content})
    archive, inside = ARCHIVES[name]
    with pytest.raises(InputError, match=f"{archive}: wrong checksum: SHA-256"):
        load(originals, tmp_path / "data")
    # and if the archive's checksum were fooled
    monkeypatch.setattr(CIFARS[name], "CHECKSUMS", changed["CHECKSUMS"])
    message = f"{archive}: {inside}/{member} has a wrong checksum: MD5 .* instead of .*; set 'mirror'"
    with pytest.raises(InputError, match=message):
        load(originals, tmp_path / "data")
    assert {path.name for path in left(tmp_path / "data")} == {archive}
    assert not made.exists()


@pytest.mark.parametrize("name", CIFARS)
def test_pickles_that_lie_about_are_not_read(name, tmp_path, monkeypatch, trap):
    content, made = trap
    originals = write(name, tmp_path / "mirror")
    originals.accept(monkeypatch)
    old = tmp_path / "data" / ARCHIVES[name][1]
    old.mkdir(parents=True)
    for member in originals.constants["MEMBERS"]:
        (old / member).write_bytes(content)
    np.testing.assert_array_equal(load(originals, tmp_path / "data").x_train, originals.images.x_train)
    assert not made.exists()


def test_an_archive_that_lacks_a_member_or_reaches_outside(tmp_path, monkeypatch):
    originals = write("cifar10", tmp_path / "mirror")
    originals.accept(monkeypatch)
    members = contents(originals)
    outside = write_archive("cifar10", originals.folder, members | {"../../../outside": b"x"})
    monkeypatch.setattr(cifar10, "CHECKSUMS", outside["CHECKSUMS"])
    with pytest.raises(InputError, match=r"cifar-10-python.tar.gz: cannot extract .*outside"):
        load(originals, tmp_path / "data")
    assert not list(tmp_path.rglob("outside"))
    del members["data_batch_3"]
    monkeypatch.setattr(cifar10, "CHECKSUMS", write_archive("cifar10", originals.folder, members)["CHECKSUMS"])
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz: lacks cifar-10-batches-py/data_batch_3; set 'mir"):
        load(originals, tmp_path / "data")


@pytest.mark.parametrize("name", CIFARS)
def test_checksums_of_members_are_those_that_torchvision_publishes(name):
    from torchvision import datasets

    published = getattr(datasets, name.upper())
    meta = [published.meta["filename"], published.meta["md5"]]
    assert dict([*published.train_list, *published.test_list, meta]) == CIFARS[name].MEMBERS


@pytest.mark.parametrize("name", NAMES)
def test_checksums_are_sha256(name):
    module = importlib.import_module(f"{PACKAGE}.{name}")
    assert all(len(digest) == 64 and int(digest, 16) for digest in module.CHECKSUMS.values())


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, and breaks off in the middle of the first answers.

    Attributes:
        content: of the file.
        breaks: how many answers break off, each after half of what it should send.
        ranges: whether an answer can begin in the middle.
        asked: headers ``Range`` of the requests.
    """

    content = np.random.default_rng(0).bytes(3_000_000)
    breaks = 1
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        if self.path != "/file":
            self.send_error(404)
            return
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        content = self.server.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        broken = len(self.server.asked) <= self.server.breaks
        self.wfile.write(content[: len(content) // 2] if broken else content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def fetched(server: Server, folder: Path, name: str = "file", digest: str | None = None) -> Path:
    (path,) = download.fetch({name: digest or sha256(server.content)}, source=server.url, folder=folder)
    return path


@pytest.mark.parametrize("ranges", [True, False], ids=["goes on", "starts over"])
def test_a_download_that_breaks_off_is_completed(server, tmp_path, capsys, ranges):
    server.breaks, server.ranges = 2, ranges
    assert fetched(server, tmp_path).read_bytes() == server.content
    assert server.asked == [None, "bytes=1500000-", f"bytes={2_250_000 if ranges else 1_500_000}-"]
    told = capsys.readouterr().err
    assert "1,500,000 of 3,000,000 bytes came (try 1 of 4)" in told
    assert "3/3 MiB" in told
    assert [path.name for path in left(tmp_path)] == ["file"]


def test_a_route_that_is_lost_is_tried_again_and_not_taken_for_a_full_disk(tmp_path, monkeypatch, capsys):
    """Such errors of the system are neither connection errors nor timeouts of Python's."""

    class Lost:
        status, headers = 200, {"Content-Length": "10"}

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def read(self, size):
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *args, **kwargs: Lost())
    with pytest.raises(
        InputError, match=r"/a: cannot download \(No route to host\); check the network, or set 'mirror'"
    ):
        download.fetch({"a": "0" * 64}, source="http://far.invalid", folder=tmp_path)
    assert capsys.readouterr().err.count("try ") == download.TRIES
    assert not left(tmp_path)


def test_a_download_that_never_ends_is_given_up(server, tmp_path):
    server.breaks = 100
    message = r"/file: cannot download \(.* of 3,000,000 bytes came\); check the network, or set 'mirror'"
    with pytest.raises(InputError, match=message):
        fetched(server, tmp_path)
    assert len(server.asked) == download.TRIES
    assert not left(tmp_path)


def test_a_download_of_something_else(server, tmp_path):
    server.breaks = 0
    with pytest.raises(InputError, match=r"/file: wrong checksum: SHA-256 .* \(3,000,000 bytes\)"):
        fetched(server, tmp_path, digest="0" * 64)
    assert not left(tmp_path)


def test_a_file_that_the_server_does_not_have_is_asked_for_once(server, tmp_path):
    with pytest.raises(InputError, match=r"/absent: cannot download \(HTTP Error 404.*; .*set 'mirror'"):
        fetched(server, tmp_path, name="absent")
    assert len(server.asked) == 1


def test_an_unreachable_url_says_what_to_do(tmp_path, capsys):
    with Server() as closed:
        url = closed.url
    with pytest.raises(InputError, match=r"/a: cannot download .*refused.*; check the network, or set 'mirror'"):
        download.fetch({"a": "0" * 64}, source=url, folder=tmp_path)
    assert capsys.readouterr().err.count("try ") == download.TRIES
    assert not left(tmp_path)


def constants(source: str) -> dict[str, dict[str, str]]:
    """Checksums in a module's source."""
    assigned = (node for node in ast.parse(source).body if isinstance(node, ast.Assign))
    found = {node.targets[0].id: node.value for node in assigned}
    return {name: ast.literal_eval(found[name]) for name in ("CHECKSUMS", "MEMBERS") if name in found}


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_the_source_takes_generated_files(name, tmp_path):
    originals = write(name, tmp_path / "mirror")
    place = Path("advntk", "ingredients", "datasets", f"{name}.py")
    copy, before = tmp_path / "copy" / place, (ROOT / place).read_text()
    copy.parent.mkdir(parents=True)
    copy.write_text(before)
    originals.write_into(tmp_path / "copy")
    assert constants(copy.read_text()) == originals.constants
    assert (ROOT / place).read_text() == before
    copy.write_text("CHECKSUMS = {}\n")
    with pytest.raises(AssertionError, match="0 checksums of"):
        originals.write_into(tmp_path / "copy")


def test_a_copy_of_the_source_prepares_generated_files(tmp_path):
    originals = write("cifar10", tmp_path / "mirror")
    shutil.copytree(ROOT / "advntk", tmp_path / "copy" / "advntk", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "advntk", "prepare", "--dataset", "cifar10", "--out", "out.npz"]
    command += ["--options", f'{{"mirror": "{originals.folder}"}}']
    originals.write_into(tmp_path / "copy")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "copy")}
    done = subprocess.run(command, cwd=tmp_path / "copy", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_prepared(tmp_path / "copy/out.npz").x_train, originals.images.x_train)


def test_a_mirror_that_cannot_be_read_is_named_and_not_the_copy(tmp_path, monkeypatch):
    """An error of the device under the mirror must not be told as one of the folder that is written to."""
    originals = write("mnist", tmp_path / "mirror")
    originals.accept(monkeypatch)

    def broken(self, size=-1):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(gzip.GzipFile, "read", broken)
    with pytest.raises(InputError, match=r"mirror/.*: cannot read \(Input/output error\); set 'mirror'") as told:
        load(originals, tmp_path / "data")
    assert "free disk space" not in str(told.value)
    assert not left(tmp_path / "data")
