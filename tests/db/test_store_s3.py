"""The store on a server that speaks S3, and on one whose connection is cut: what is not whole is not there."""

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db import store_identity
from db.engine import open_database, utc_now
from db.erasure.store_trash import Trash
from db.errors import IdentityError, MissingObject, NotConfirmed, RottenObject, StoreError
from db.fsck import Trouble, fsck
from db.migrations import upgrade
from db.store import Store
from db.store_parts.multipart_uploads import unfinished_uploads

PLACE = "s3://studio/store"
SMALL = os.urandom(300_000)
PART = 5 << 20
LARGE = os.urandom(3 * PART + 1234)  # in parts, when parts are PART bytes


class Line:
    """A TCP line to the server. `cut_after`: bytes from the client after which it is cut, connection by connection;
    `stall_after`: bytes after which it says nothing more."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_after: int | None = None
        self.stall_after: int | None = None
        self.stalled = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        try:
            while data := client.recv(16384):
                sent += len(data)
                if self.stall_after is not None and sent > self.stall_after:
                    self.stalled.set()
                    return
                if self.cut_after is not None and sent > self.cut_after:
                    break
                server.sendall(data)
        except OSError:
            pass
        for end in (client, server):
            end.close()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            end.close()
        self._thread.join(600)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()
    running.stop()


@pytest.fixture
def line(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line to an empty bucket, which every client of this test uses."""
    import fsspec
    import s3fs

    line = Line(*server)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    files = fsspec.filesystem("s3", use_listings_cache=False)
    if files.exists("studio"):
        files.rm("studio", recursive=True)
    files.mkdir("studio")
    yield line
    line.cut_after = line.stall_after = None
    s3fs.S3FileSystem.clear_instance_cache()
    line.close()


@pytest.fixture
def store(line: Line, tmp_path: Path) -> Store:  # noqa: ARG001
    return Store(PLACE, cache=tmp_path / "cache")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in parts of 5 MB, the least that S3 admits; else they begin at 100 MB."""
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda _size, **_given: PART)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


def test_put_get_list_and_remove(store: Store, tmp_path: Path) -> None:
    before = utc_now() - timedelta(seconds=2)
    digest = store.put_file(file_of(tmp_path, SMALL))
    other = store.put_bytes(b"other")
    assert sorted(store) == sorted([digest, other])
    assert (store.exists(digest), store.size(digest)) == (True, len(SMALL))
    assert before <= store.filed(digest).modified <= utc_now() + timedelta(seconds=2)
    assert store.local_path(digest).read_bytes() == SMALL
    store.verify(digest)
    with store.open(digest) as file:
        assert file.read() == SMALL
    assert store.strays() == []
    assert store.remove(digest, untouched_since=before) is None  # put since
    assert store.remove(digest, untouched_since=utc_now() + timedelta(minutes=1)) == len(SMALL)
    assert list(store) == [other]
    with pytest.raises(MissingObject):
        store.local_path(digest)  # the copy on this machine went with it
    assert store.remove(digest, untouched_since=utc_now()) == 0


@pytest.mark.usefixtures("parts")
def test_a_large_file_comes_in_parts(store: Store, tmp_path: Path) -> None:
    digest = store.put_file(file_of(tmp_path, LARGE), expected=sha(LARGE))
    store.verify(digest)
    assert store.local_path(digest).read_bytes() == LARGE
    assert unfinished_uploads(store.fs, store.root, utc_now() + timedelta(hours=1)) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "in parts"])
@pytest.mark.usefixtures("parts")
def test_a_cut_upload_shows_nothing_and_the_next_one_is_whole(
    line: Line, store: Store, tmp_path: Path, data: bytes
) -> None:
    line.cut_after = 100_000
    with pytest.raises(StoreError, match="studio/store does not answer"):
        store.put_file(file_of(tmp_path, data))
    line.cut_after = None
    assert list(store) == []
    assert not store.exists(sha(data))
    assert not list((tmp_path / "cache" / "tmp").iterdir())
    store.put_file(file_of(tmp_path, data))
    store.verify(sha(data))


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("parts")
def test_a_killed_upload_shows_nothing_and_its_parts_are_found(
    line: Line, store: Store, engine: Engine, tmp_path: Path
) -> None:
    line.stall_after = 1_000_000
    program = (
        "import sys, s3fs.core, pathlib\n"
        f"s3fs.core.calculate_chunksize = lambda _size, **_given: {PART}\n"
        "from db.store import Store\n"
        f"Store({PLACE!r}, cache=pathlib.Path(sys.argv[2])).put_file(pathlib.Path(sys.argv[1]))\n"
    )
    arguments = [sys.executable, "-c", program, str(file_of(tmp_path, LARGE)), str(tmp_path / "other")]
    writer = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    assert line.stalled.wait(600)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    line.stall_after = None
    assert list(store) == []
    assert not store.exists(sha(LARGE))
    (upload,) = unfinished_uploads(store.fs, store.root, utc_now() + timedelta(hours=1))
    assert upload.key.endswith(sha(LARGE))
    (finding,) = fsck(engine, store).findings  # this server says of every upload that it began in 2010
    assert (finding.trouble, finding.mended) == (Trouble.LEFTOVER, "")
    assert fsck(engine, store, repair=True).sound
    assert unfinished_uploads(store.fs, store.root, utc_now() + timedelta(hours=1)) == []
    store.put_file(file_of(tmp_path, LARGE))
    store.verify(sha(LARGE))


def test_a_cut_download_leaves_nothing_in_the_cache(line: Line, store: Store, tmp_path: Path) -> None:
    digest = store.put_bytes(SMALL)
    line.cut_after = 0
    for ask in (store.local_path, store.verify, store.exists, store.filed):
        with pytest.raises(StoreError, match="does not answer"):
            ask(digest)
    line.cut_after = None
    assert not list((tmp_path / "cache" / "tmp").iterdir())
    assert store.local_path(digest).read_bytes() == SMALL


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rot_on_the_server_is_found(store: Store, engine: Engine) -> None:
    digest = store.put_bytes(SMALL)
    store._fs.pipe_file(store._key(digest), SMALL[:-1] + b"x")
    with pytest.raises(RottenObject):
        store.verify(digest)
    with pytest.raises(RottenObject):
        store.local_path(digest)
    assert store.set_aside(digest).endswith(f"rotten/{digest}")
    assert list(store) == []
    assert fsck(engine, store).findings == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_thrown_away_comes_back_and_another_studios_bucket_is_told(
    line: Line, store: Store, engine: Engine, tmp_path: Path
) -> None:
    assert store_identity.note(engine, store).same
    nobodys = [store.put_bytes(f"nobody's {number}".encode()) for number in range(2)]
    old = timedelta(seconds=-5)  # the server's times are of whole seconds
    with pytest.raises(NotConfirmed, match="--confirm 2"):
        fsck(engine, store, repair=True, older_than=old)
    assert sorted(store) == sorted(nobodys)
    assert fsck(engine, store, repair=True, older_than=old, agreed=lambda _plan: None).sound
    assert list(store) == []
    (batch,) = Trash(store).batches()
    assert sorted(thrown.sha256 or "" for thrown in batch.files) == sorted(nobodys)
    assert Trash(store).restore(batch.name) == (2, [])
    for sha256 in nobodys:
        store.verify(sha256)
    assert Trash(store).batches() == []

    other = open_database(f"sqlite:///{tmp_path / 'other.sqlite'}")
    upgrade(other)
    with pytest.raises(IdentityError):
        fsck(other, store, repair=True)
    store_identity.accept_as_current(other, store)
    assert store_identity.check(engine, store).standing is store_identity.IdentityStanding.OTHER
    line.cut_after = 0
    with pytest.raises(StoreError, match="does not answer"):
        store_identity.require(other, store)
    other.dispose()


def test_writers_of_equal_bytes_at_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers some of them with an error, as S3 does when busy: the client, as it comes, asks again."""
    import s3fs

    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 5)
    s3fs.S3FileSystem.clear_instance_cache()
    stores = [Store(PLACE, cache=tmp_path / str(number)) for number in range(4)]
    start, problems = threading.Barrier(4), []

    def put(one: Store) -> None:
        start.wait()
        try:
            for _ in range(3):
                one.put_bytes(SMALL)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=put, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert list(store) == [sha(SMALL)]
    store.verify(sha(SMALL))


def test_a_bucket_that_is_not_there_is_said(line: Line, tmp_path: Path) -> None:  # noqa: ARG001
    store = Store("s3://nobodys/store", cache=tmp_path / "cache")
    with pytest.raises(StoreError, match="nobodys"):
        store.put_bytes(SMALL)
