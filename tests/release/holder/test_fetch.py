"""A release over HTTP, from a server that drops, lies, forgets ranges and comes back."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from processing.release.formats.errors import FetchError, ManifestError
from processing.release.formats.manifest import MANIFEST, SIDECAR, ManifestHead, make_manifest, write_manifest
from processing.release.holder.fetch import FetchFilter, FetchResult, TransferSettings, fetch_manifest, fetch_release
from processing.release.holder.verify import VerificationFault, verify

BIG = "mesh/1/1_neutral.ply"
FILES = {
    BIG: hashlib.shake_256(b"scan").digest(900_000),
    "mesh/2/1_neutral.ply": b"scan of another" * 100,
    "1/models_reg/1_neutral.obj": b"v 0 0 0\n" * 500,
    "1/models_reg/2_smile.obj": b"v 1 0 0\n" * 500,
    "1/dpmap/1_neutral.png": b"png",
    "img/1/1_neutral/0.jpg": b"jpg",
    "meta/1/1_neutral.json": b"{}",
    "checks/1.png": b"png",
    "info_list.txt": b"1 - - 10000\n",
    "topology/abc.npz": b"npz",
    "empty.txt": b"",
}


class Faults:
    """What the server does wrong. Each path: how often, or after how many bytes."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.sent: dict[str, int] = {}
        self.drop_after: dict[str, list[int]] = {}
        self.unavailable: dict[str, int] = {}
        self.corrupt: dict[str, int] = {}
        self.replaced: dict[str, bytes] = {}
        self.ranges = True
        self.lying_ranges = False
        self.lock = threading.Lock()

    def asked(self, path: str) -> list[str | None]:
        return [wanted for name, wanted in self.requests if name == path]


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, faults: Faults, **more: Any) -> None:
        self.faults = faults
        super().__init__(*arguments, **more)

    def do_GET(self) -> None:
        faults, path = self.faults, self.path.removeprefix("/faces-1/")
        wanted = self.headers.get("Range")
        with faults.lock:
            faults.requests.append((path, wanted))
            if faults.unavailable.get(path, 0) > 0:
                faults.unavailable[path] -= 1
                return self.send_error(503)
            cut = faults.drop_after[path].pop(0) if faults.drop_after.get(path) else None
            spoil = faults.corrupt.get(path, 0) > 0
            faults.corrupt[path] = faults.corrupt.get(path, 0) - 1
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            return self.send_error(404)
        data = faults.replaced.get(path, file.read_bytes())
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and faults.ranges else 0
        if start >= len(data) and wanted and faults.ranges:
            return self.send_error(416)
        body = data[start:] if not faults.lying_ranges else data
        self.send_response(206 if wanted and faults.ranges else 200)
        if wanted and faults.ranges:
            begins = 0 if faults.lying_ranges else start
            self.send_header("Content-Range", f"bytes {begins}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if spoil:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.wfile.write(body if cut is None else body[:cut])
        with faults.lock:
            faults.sent[path] = faults.sent.get(path, 0) + len(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(2)
            self.close_connection = True
        return None

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "www" / "faces-1"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    manifest = make_manifest(
        folder, FILES, ManifestHead(name="faces", version=1, consent_day="2026-01-01", subjects=("S001", "S002"))
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def url(release: Path, faults: Faults) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=release.parent, faults=faults))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/faces-1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def fetched(url: str, out: Path, tries: int = 5, **more: Any) -> FetchResult:
    return fetch_release(url, out, transfer=TransferSettings(tries=tries, wait_s=0.001), **more)


def test_all_of_it(url: str, out: Path) -> None:
    got = fetched(url, out)
    assert (got.files, got.fetched) == (len(FILES), len(FILES))
    assert got.bytes == sum(map(len, FILES.values()))
    assert verify(out).intact
    assert fetched(url + "/manifest.json", out).fetched == 0  # nothing twice
    assert fetch_manifest(url)[0].version == 1


def test_a_part_of_it_and_then_more(url: str, out: Path, faults: Faults) -> None:
    shared = {"info_list.txt", "topology/abc.npz", "empty.txt"}
    here = lambda: {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {MANIFEST, SIDECAR}  # noqa: E731
    fetched(url, out, wanted=FetchFilter(subjects=("S001",), kinds=("mesh",), expressions=("smile",)))
    assert here() == shared | {"1/models_reg/2_smile.obj"}
    found = verify(out, partial=True)
    assert found.intact
    assert found.absent == len(FILES) - 4
    assert {problem.fault for problem in verify(out).problems} == {VerificationFault.MISSING}
    fetched(url, out, wanted=FetchFilter(subjects=("1",), patterns=("mesh/*",)))
    assert here() == shared | {"1/models_reg/2_smile.obj", BIG}
    assert faults.asked("1/models_reg/2_smile.obj") == [None]
    with pytest.raises(FetchError, match="no kind 'meshes'"):
        fetched(url, out, wanted=FetchFilter(kinds=("meshes",)))
    with pytest.raises(FetchError, match="nothing of the release"):
        fetched(url, out, wanted=FetchFilter(subjects=("S009",)))


def test_dropped_connections_go_on_where_they_were_cut(url: str, out: Path, faults: Faults) -> None:
    faults.drop_after[BIG] = [300_000, 200_000]
    got = fetched(url, out)
    assert faults.asked(BIG) == [None, "bytes=300000-", "bytes=500000-"]
    assert faults.sent[BIG] == len(FILES[BIG])
    assert got.bytes == sum(map(len, FILES.values()))
    assert verify(out).intact


def test_an_interrupted_fetch_goes_on(url: str, out: Path, faults: Faults) -> None:
    faults.drop_after[BIG] = [100_000]
    with pytest.raises(FetchError, match=rf"1 of {len(FILES)} files did not come(?s:.*){BIG}"):
        fetched(url, out, tries=1)
    assert (out / f"{BIG}.part").stat().st_size == 100_000
    assert not (out / BIG).exists()
    assert not verify(out).intact
    got = fetched(url, out)
    assert (got.fetched, got.bytes) == (1, 800_000)
    assert verify(out).intact


def test_a_server_without_ranges_and_one_that_lies_about_them(url: str, out: Path, faults: Faults) -> None:
    faults.ranges = False
    faults.drop_after[BIG] = [300_000]
    fetched(url, out)
    assert (out / BIG).read_bytes() == FILES[BIG]
    (out / BIG).rename(out / f"{BIG}.part")
    (out / f"{BIG}.part").write_bytes(FILES[BIG][:1000])
    faults.ranges, faults.lying_ranges = True, True
    fetched(url, out)
    assert verify(out).intact


def test_what_is_corrupted_on_the_way_is_fetched_again(url: str, out: Path, faults: Faults) -> None:
    faults.corrupt[BIG] = 2
    faults.unavailable["checks/1.png"] = 3
    fetched(url, out)
    assert len(faults.asked(BIG)) == 3
    assert verify(out).intact


def test_a_part_that_was_spoiled_on_the_disk_is_begun_anew(url: str, out: Path) -> None:
    (out / "mesh" / "1").mkdir(parents=True)
    (out / f"{BIG}.part").write_bytes(b"?" * 450_000)
    fetched(url, out)
    assert (out / BIG).read_bytes() == FILES[BIG]
    (out / BIG).unlink()
    (out / f"{BIG}.part").write_bytes(b"?" * 1_000_000)
    fetched(url, out)
    assert verify(out).intact


def test_what_stays_wrong_is_named_and_not_kept(url: str, out: Path, faults: Faults, release: Path) -> None:
    faults.replaced = {BIG: b"?" * len(FILES[BIG]), "checks/1.png": b"longer than it was"}
    (release / "img/1/1_neutral/0.jpg").unlink()
    with pytest.raises(FetchError) as refused:
        fetched(url, out, tries=2)
    text = str(refused.value)
    assert f"{BIG}  its content is not what the manifest says (2 tries)" in text
    assert "checks/1.png  the server's file is longer than the manifest says" in text
    assert "img/1/1_neutral/0.jpg  the server answers 404" in text
    assert len(faults.asked("img/1/1_neutral/0.jpg")) == 1  # a file that is not there is not asked for again
    for name in (BIG, "checks/1.png", "img/1/1_neutral/0.jpg"):
        assert not (out / name).exists()


def test_a_manifest_that_was_changed(url: str, out: Path, release: Path) -> None:
    data = (release / MANIFEST).read_bytes()
    (release / MANIFEST).write_bytes(data.replace(b"S002", b"S003"))
    with pytest.raises(FetchError, match=r"not what its manifest\.json\.sha256 says"):
        fetched(url, out)
    (release / MANIFEST).write_bytes(data)
    with pytest.raises(FetchError, match="do not use it"):
        fetched(url, out, manifest_sha256="0" * 64)
    assert not out.exists()
    for name, content in ((MANIFEST, b"<html>"), (SIDECAR, hashlib.sha256(b"<html>").hexdigest().encode())):
        (release / name).write_bytes(content)
    with pytest.raises(ManifestError, match="no manifest"):
        fetched(url, out)


@pytest.mark.parametrize("path", ["../climbs.txt", "/tmp/climbs.txt"])
def test_a_path_that_climbs_fetches_nothing(url: str, out: Path, release: Path, path: str) -> None:
    data = (release / MANIFEST).read_bytes().replace(b"info_list.txt", path.encode())
    (release / MANIFEST).write_bytes(data)
    (release / SIDECAR).write_text(hashlib.sha256(data).hexdigest())
    with pytest.raises(FetchError, match="climbs out of the release: nothing was fetched"):
        fetched(url, out)
    assert {p.name for p in out.rglob("*")} <= {MANIFEST, SIDECAR}


def test_links_in_the_way_are_not_followed(url: str, out: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / "mesh").symlink_to(tmp_path / "elsewhere")
    (out / "checks").write_text("a file")
    with pytest.raises(FetchError) as refused:
        fetched(url, out)
    assert "mesh is a symbolic link" in str(refused.value)
    assert "checks is no folder" in str(refused.value)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_versions_do_not_mix(url: str, out: Path, release: Path) -> None:
    fetched(url, out, wanted=FetchFilter(kinds=("facts",)))
    (release / MANIFEST).unlink()
    (release / SIDECAR).unlink()
    write_manifest(
        release,
        make_manifest(
            release, FILES, ManifestHead(name="faces", version=2, consent_day="2026-02-01", subjects=("S001",))
        ),
    )
    with pytest.raises(FetchError, match="holds another release or version"):
        fetched(url, out)


def test_nobody_answers(out: Path) -> None:
    with pytest.raises(FetchError, match="no release that can be fetched"):
        fetched("http://127.0.0.1:9/faces-1", out, tries=1)
    with pytest.raises(FetchError, match="no release that can be fetched"):
        fetched("ftp://127.0.0.1/faces-1", out, tries=1)
