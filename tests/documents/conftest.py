"""Studios as the documents speak of them, made once and copied: subject S012, releases faces-1 to faces-3."""

import functools
import http.server
import importlib.util
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from printed_blocks import Desk, printed

from db.commands import database
from db.engine import open_database, transaction
from db.models import ConsentScope
from db.settings import Settings
from db.store import Store
from db.studio import StudioRecords
from db.subjects import add_subject
from processing.release.studio.export.build import build_release

BESIDE = Path(__file__).parents[1] / "release" / "conftest.py"
REVIEWER = """sed -i 's/^by = ""/by = "A. Reviewer"/; s/^# *on = .*/on = 2026-11-21/' "$1"
grep -q '^on = ' "$1" || sed -i '/^by = "A. Reviewer"/a on = 2026-11-21' "$1" """
SCOPES = (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)


def _records(home: Path) -> StudioRecords:
    settings = Settings.load(home)
    return StudioRecords(settings, open_database(settings.database), Store(settings.store))


@pytest.fixture(scope="session")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a studio that has seen eleven people."""
    home = tmp_path_factory.mktemp("eleven") / "home"
    database.upgrade(home, f"sqlite:///{home / 'studio.sqlite'}")
    records = _records(home)
    with transaction(records.engine) as tx:
        for _ in range(11):
            add_subject(tx)
    records.engine.dispose()
    return home


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, eleven: Path) -> Path:
    """A folder with `home/`, whose S012 and S013 are processed, and `releases/` with faces-1 to faces-3."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(eleven, folder / "home")
    records = _records(folder / "home")
    (folder / "work").mkdir()
    made = _finished_studio()(records, sys.modules["mien_tests_db_fixtures"].StudioRows(), folder / "work")  # type: ignore[attr-defined]
    for _ in range(2):
        made.subject(*SCOPES, given_on=date(2026, 1, 2))
    for _ in range(3):
        build_release(records, "faces", folder / "releases", workers=1)
    records.engine.dispose()
    return folder


def _finished_studio() -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("mien_tests_release_conftest", BESIDE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    made: Callable[..., Any] = module.FinishedStudio
    return made


@pytest.fixture(scope="session")
def faces_4(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that has everything, and faces-4, which somebody selected, signed and built as the guide says."""
    folder = tmp_path_factory.mktemp("faces-4")
    shutil.copytree(finished / "home", folder / "home")
    desk = _desk(folder)
    shutil.copytree(finished / "releases", desk.folder / "releases")
    (desk.home / "studio.toml").write_text(printed("docs/release.md", "[release.about]").text)
    said = desk.run(printed("docs/release.md", "mien release select faces"))
    assert "put your name and the day under [review]" in said
    assert "intact" in said
    assert (desk.folder / "releases" / "faces-4" / "LICENCE.txt").read_text() == "You may look.\n"
    assert "Northern Studio" in (desk.folder / "releases" / "faces-4" / "README.md").read_text()
    return folder


@pytest.fixture
def newcomers(eleven: Path, tmp_path: Path) -> Desk:
    """A desk of a studio whose next subject is S012."""
    shutil.copytree(eleven, tmp_path / "home")
    return _desk(tmp_path)


@pytest.fixture
def desk(finished: Path, tmp_path: Path) -> Desk:
    """A desk of the studio that has captured and released S012."""
    shutil.copytree(finished / "home", tmp_path / "home")
    return _desk(tmp_path)


@pytest.fixture
def manager(finished: Path, desk: Desk) -> Desk:
    """The same, in the folder that has releases/."""
    shutil.copytree(finished / "releases", desk.folder / "releases")
    return desk


@pytest.fixture
def holder(faces_4: Path, tmp_path: Path) -> Iterator[Desk]:
    """A desk that has no studio; what the document calls https://host gives the releases, at `env["HOST"]`."""
    desk = _desk(tmp_path)
    with web(faces_4 / "desk" / "releases") as url:
        desk.env["HOST"] = url
        yield desk


def _desk(folder: Path) -> Desk:
    made = Desk(folder / "desk", folder / "home")
    for name in ("form-4711.pdf", "form-4810.pdf", "somewhere-signed.pdf"):
        (made.folder / name).write_bytes(f"%PDF {name}".encode())
    (made.folder / "LICENCE.txt").write_text("You may look.\n")
    made.env["EDITOR"] = str(made.program("editor", REVIEWER))
    return made


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_arguments: object) -> None:
        pass


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Any web server in front of a folder; its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
