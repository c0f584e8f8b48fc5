"""Manifests, folders and servers that mean ill: nothing is written outside, nothing is waited for without end."""

import contextlib
import gzip
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.release.formats.errors import FetchError, ManifestError
from processing.release.formats.manifest import decode_manifest
from processing.release.formats.release_paths import collisions, name_problem, path_problem
from processing.release.holder import fetch as fetching
from processing.release.holder.download import Downloader, DownloadFault
from processing.release.holder.fetch import TransferSettings, fetch_release
from processing.release.holder.verify import verify

DATA = b"v 0 0 0\n" * 4000
ENTRY = {"path": "1/models_reg/1_neutral.obj", "bytes": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}


def manifest(*more: dict[str, Any], **changes: Any) -> bytes:
    whole = {"schema_version": 2, "name": "faces", "version": 1, "consent_day": "2026-01-01", "subjects": ["S001"]}
    return json.dumps(whole | {"files": [ENTRY, *more], "tombstones": [], "selection_sha256": None} | changes).encode()


NASTY = st.text(
    alphabet=st.one_of(st.sampled_from("./\\:~*?[]\0\n\x1b\u202e aZé"), st.characters()), min_size=0, max_size=20
)


@settings(max_examples=300, deadline=None)
@given(NASTY)
def test_a_name_that_passes_is_one_plain_folder(name: str) -> None:
    if name_problem(name) is None:
        folder = Path(f"{name}-1")
        assert folder.parts == (f"{name}-1",)
        assert not folder.is_absolute()
        assert name.isprintable()


@settings(max_examples=300, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=4).map("/".join))
def test_a_path_that_passes_stays_inside(path: str) -> None:
    if path_problem(path) is None:
        inside = os.path.normpath(os.path.join("/somewhere/out", path))  # noqa: PTH118
        assert inside == f"/somewhere/out/{path}"
        assert path.isprintable()
        assert not any(part.startswith(".") or part.endswith(".part") for part in path.split("/"))


@pytest.mark.parametrize(
    "path", ["1/models_reg/2_smile.obj", "img/847/20_brow_lower/67.jpg", "topology/ab12.npz", "README.md"]
)
def test_what_a_studio_makes_passes(path: str) -> None:
    assert path_problem(path) is None
    assert name_problem("faces-2026_a") is None


@pytest.mark.parametrize(
    ("paths", "wrong"),
    [
        (["a/b", "a/b"], "a/b"),
        (["A/b", "a/b"], "a/b"),
        (["a", "a/b"], "a/b"),
        (["a/b/c", "A/B"], "a/b/c"),
        (["\u00e9", "e\u0301"], "e\u0301"),
        (["stra\u00dfe", "STRASSE"], "STRASSE"),
    ],
)
def test_collisions(paths: list[str], wrong: str) -> None:
    assert [path for path, _ in collisions(paths)] == [wrong]
    assert collisions(["a/b", "a/c", "b"]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"}, {"name": "/**/*"}, {"name": "x\x1b[2J"}, {"name": ""}, {"name": "."}, {"name": "CON"},
        {"version": 0}, {"version": -1}, {"version": 10**30}, {"version": 1.5}, {"version": "1"},
        {"consent_day": "\x1b"}, {"subjects": ["\n"]}, {"subjects": [""]}, {"subjects": "S001"},
        {"files": [ENTRY | {"bytes": -1}]}, {"files": [ENTRY | {"bytes": 10**30}]},
        {"files": [ENTRY | {"sha256": "x"}]},
        {"schema_version": 99}, {"schema_version": True}, {"note": 1},
    ],
)  # fmt: skip
def test_values_that_no_release_has(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as refused:
        decode_manifest(manifest(**changes), "it")
    assert "\x1b" not in str(refused.value)
    (tmp_path / "manifest.json").write_bytes(manifest(**changes))
    assert not verify(tmp_path).intact


@pytest.mark.parametrize(
    "data", [b"[" * 200_000, b'{"a":' * 100_000, b"{" * 3_000_000, b'{"schema_version":NaN}', b"", b"{"]
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest(data, "it")


def test_pipes_in_a_release_hold_nobody_up(tmp_path: Path) -> None:
    for name in ("manifest.json", "manifest.json.sha256"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "manifest.json").write_bytes(manifest()) if name.endswith("256") else None
        os.mkfifo(folder / name)
        assert not verify(folder).intact


class Server(ThreadingHTTPServer):
    """Answers each path by a function of the handler."""

    answers: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            self.server.answers[self.path](self)

    def log_message(self, *_arguments: Any) -> None:
        pass

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.answers = {}
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def serve(server: Server, file: Any, data: bytes | None = None) -> str:
    data = manifest() if data is None else data
    digest = hashlib.sha256(data).hexdigest().encode()
    server.answers |= {
        "/manifest.json": lambda h: h.say(200, data),
        "/manifest.json.sha256": lambda h: h.say(200, digest),
        "/1/models_reg/1_neutral.obj": file,
    }
    return f"http://127.0.0.1:{server.server_address[1]}"


def packed(data: bytes, how: str = "gzip") -> Any:
    return lambda h: h.say(200, gzip.compress(data), Content_Encoding=how)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (packed(bytes(50_000_000)), "longer than the manifest says"),
        (packed(DATA, "br"), "packs its files as 'br'"),
        (lambda h: h.say(200, b"no gzip", Content_Encoding="gzip"), "cannot be unpacked"),
        (lambda h: h.say(302, b"", Location=h.path), "leads on more than 5 times"),
        (lambda h: h.say(302, b"", Location="file:///etc/passwd"), "neither http nor https"),
        (lambda h: h.say(206, DATA, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}"), "another part"),
        (lambda h: h.say(204, b""), "answers 204"),
        (lambda h: h.say(416, b""), "shorter than the manifest"),
        (lambda h: h.say(200, DATA + b"x"), "longer than the manifest says"),
        (lambda h: h.say(200, DATA[:-1]), "bytes came"),
        (lambda h: h.say(200, DATA[:-1] + b"x"), "content is not"),
    ],
)
def test_servers_that_lie(server: Server, tmp_path: Path, file: Any, why: str) -> None:
    url = serve(server, file)
    with pytest.raises(FetchError, match=why):
        fetch_release(url, tmp_path / "out", transfer=TransferSettings(tries=2, wait_s=0.001))
    assert not (tmp_path / "out" / ENTRY["path"]).exists()


def test_what_is_packed_within_its_size_is_unpacked(server: Server, tmp_path: Path) -> None:
    fetch_release(serve(server, packed(DATA)), tmp_path / "out", transfer=TransferSettings(wait_s=0.001))
    assert (tmp_path / "out" / ENTRY["path"]).read_bytes() == DATA


@pytest.mark.parametrize(
    "said", ["bytes 107-{last}/{size}", "bytes 100-{last}/999999", "bytes 100-999999/*", "items 1-2/3", ""]
)
def test_a_range_that_was_not_asked_for_is_not_believed(server: Server, tmp_path: Path, said: str) -> None:
    asked = []

    def file(h: Handler) -> None:
        asked.append(h.headers.get("Range"))
        if asked[-1] is None:
            return h.say(200, DATA)
        return h.say(206, b"?" * len(DATA), Content_Range=said.format(last=len(DATA) - 1, size=len(DATA)))

    part = tmp_path / "out" / (ENTRY["path"] + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:100])
    fetch_release(serve(server, file), tmp_path / "out", transfer=TransferSettings(wait_s=0.001))
    assert (tmp_path / "out" / ENTRY["path"]).read_bytes() == DATA
    assert asked == ["bytes=100-", None]


@pytest.mark.parametrize("make", [os.mkfifo, lambda at: at.symlink_to("/etc/hostname"), Path.mkdir])
def test_what_lies_where_a_part_would(server: Server, tmp_path: Path, make: Any) -> None:
    part = tmp_path / "out" / (ENTRY["path"] + ".part")
    part.parent.mkdir(parents=True)
    make(part)
    with pytest.raises(FetchError, match=r"symbolic link|is no file"):
        fetch_release(
            serve(server, lambda h: h.say(200, DATA)), tmp_path / "out", transfer=TransferSettings(wait_s=0.001)
        )


def test_a_drip_is_given_up(server: Server) -> None:
    url = serve(server, lambda h: h.say(200, DATA))
    moments = iter(range(0, 10_000, 60))
    with httpx.Client() as client:
        slow = Downloader(client, clock=lambda: float(next(moments)), window_bytes=10**9)
        with pytest.raises(DownloadFault, match="comes at less than"):
            list(slow.blocks(f"{url}/{ENTRY['path']}", start=0, most=len(DATA) + 1, longer="x"))


def test_a_server_that_has_nothing_is_not_asked_a_million_times(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "HOPELESS", 5)
    asked = []

    def lacks(h: Handler) -> None:
        asked.append(h.path)
        h.say(404, b"")

    many = [ENTRY | {"path": f"1/models_reg/{k}_x.obj"} for k in range(500)]
    url = serve(server, lacks, manifest(*many))
    server.answers |= {f"/{entry['path']}": lacks for entry in many}
    with pytest.raises(FetchError, match="the rest was not tried"):
        fetch_release(url, tmp_path / "out", transfer=TransferSettings(wait_s=0.001))
    assert len(asked) < 100
