"""Links to a release in an object store, made and fetched by on a server that speaks S3."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from db.engine import reading, utc_now
from db.models import Way
from db.release_records.release_holders import holders_of, releases_named
from processing.release.formats.errors import AccessError
from processing.release.formats.link_list import HEAD, as_text, read_links
from processing.release.holder.fetch import FetchFilter, TransferSettings, fetch_release
from processing.release.holder.link_transport import client_for
from processing.release.holder.verify import verify
from processing.release.studio.access.presigned_links import give_links

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    if not fs.exists("given"):
        fs.mkdir("given")
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def release(g: Any, engine: Engine, bucket: Any, tmp_path: Path) -> Path:
    folder = g.make_release(engine, tmp_path / "releases")
    bucket.put(str(folder), "given/faces-1", recursive=True)
    return folder


def soon() -> Any:
    return utc_now() + timedelta(hours=1)


@sqlite
@pytest.mark.usefixtures("release")
def test_what_the_grant_allows_comes_by_links(g: Any, engine: Engine, tmp_path: Path) -> None:
    code, _ = g.make_grant(engine, g.make_recipient(engine), kinds=("mesh", "scan", "texture", "facts"))
    links = give_links(engine, code, "s3://given/faces-1", soon())
    assert not [path for path in links.by_path if path.startswith("img/")]
    file = tmp_path / "faces.links"
    file.write_text(as_text(links))
    read = read_links(file)
    assert read == links
    with client_for(read) as client:
        kinds = ("mesh", "scan", "texture", "facts")
        got = fetch_release(
            read.url,
            tmp_path / "mine",
            wanted=FetchFilter(kinds=kinds),
            client=client,
            transfer=TransferSettings(wait_s=0.001),
        )
    assert got.files == len(links.by_path) - 2 == len(g.FILES) - 1
    assert verify(tmp_path / "mine", partial=True).intact
    with reading(engine) as tx:
        (one,) = holders_of(tx, releases_named(tx, "faces"))
    assert (one.way, one.grant, one.complete_at) == (Way.LINKS, code, None)
    assert httpx.get(links.by_path["info_list.txt"], trust_env=False).content == g.FILES["info_list.txt"]


@sqlite
def test_links_that_are_not_given(g: Any, engine: Engine, bucket: Any, release: Path) -> None:
    recipient = g.make_recipient(engine)
    code, _ = g.make_grant(engine, recipient)
    waits, _ = g.make_grant(engine, g.make_recipient(engine), licence=None)
    for grant, place, until, said in [
        (code, "s3://given/faces-1", utc_now() + timedelta(days=8), "7 days at most"),
        (code, "s3://given/faces-1", utc_now() - timedelta(days=1), "7 days at most"),
        (code, "s3://given/nothing", soon(), "no release can be read"),
        (code, "nonsense://given/faces-1", soon(), "no release can be read"),
        (code, str(release), soon(), "signs no links"),
        (waits, "s3://given/faces-1", soon(), "licence"),
    ]:
        with pytest.raises(AccessError, match=said) as caught:
            give_links(engine, grant, place, until)
        assert "secret" not in str(caught.value)
    changed = bucket.cat_file("given/faces-1/manifest.json").replace(b"2026-01-01", b"2026-01-02")
    bucket.pipe_file("given/faces-1/manifest.json", changed)
    with pytest.raises(AccessError, match="as it was built"):
        give_links(engine, code, "s3://given/faces-1", soon())
    with reading(engine) as tx:
        assert holders_of(tx, releases_named(tx, "faces")) == []


def test_files_that_are_no_links(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in ("", "https://host/link/x/faces-1", "# something else\n", f"{HEAD} ../x 1\n", f"{HEAD} faces 0\n"):
        file.write_text(text)
        assert read_links(file) is None
    file.write_text(f"{HEAD} faces 1\nfile:///etc/passwd\n  out=a\n")
    with pytest.raises(AccessError, match="damaged"):
        read_links(file)
    assert read_links(tmp_path / "nothing") is None
    assert read_links(tmp_path) is None
