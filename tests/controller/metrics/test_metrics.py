"""Figures for Prometheus: they parse, names and labels are as they should be, and nobody reads them without a token."""

import asyncio
import io
import json
import logging
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import until
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from sqlalchemy import select

from common.guarding.json_log_records import JsonLogFormatter
from controller.api.app import make_console
from controller.metrics.scrape_token import FILE, ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.rig_file import Rig
from db.engine import reading
from db.errors import DatabaseUnavailable
from db.models import CaptureSession, FormerTakeCode, ProtocolExpression, Subject, Take

TOKEN = "of-the-commands"
LABELS = {"camera", "node", "rig", "version", "state", "port", "place"}
UNITS = ("_seconds", "_bytes", "_ratio", "_total", "_info")
COUNTS = {
    "mien_cameras", "mien_camera_ready", "mien_camera_aside", "mien_camera_frames_left",
    "mien_camera_spooled_photographs", "mien_camera_stray_files", "mien_node_connections",
    "mien_checks_pending", "mien_side_pending", "mien_records_trouble",
    "mien_ingest_trouble", "mien_lights_trouble", "mien_console_connections", "mien_console_streams",
}  # fmt: skip


class Scraped:
    """A studio's /metrics behind its application."""

    def __init__(self, studio: Any, home: Path) -> None:
        self.scrape = ScrapeToken(home)
        self.load = ConsoleLoad(connections=lambda: 3)
        self._app = make_console(studio, TOKEN, self.scrape, self.load)

    def ask(self, path: str, headers: dict[str, Any] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())

    def get(self, authorization: str | None = None, accept: str = "") -> Any:
        token = (self.scrape.file.read_text()).strip()
        headers = {"Authorization": f"Bearer {token}" if authorization is None else authorization, "Accept": accept}
        return self.ask("/metrics", headers)

    def metrics(self) -> dict[str, Metric]:
        return {one.name: one for one in prometheus_text(self.get().text)}

    def value(self, name: str, **labels: str) -> float:
        samples = [s for m in self.metrics().values() for s in m.samples if s.name == name]
        return next(s.value for s in samples if labels.items() <= s.labels.items())


@pytest.fixture
def scraped(home: Any, rig_of: Callable[..., Rig]) -> tuple[Any, Scraped]:
    studio = home.open(rig_of(2))
    return studio, Scraped(studio, home.folder)


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer wrong", "Basic x", "Bearer \u00e9"])
def test_nobody_reads_them_without_a_token(scraped: Any, shown: str) -> None:
    _, asked = scraped
    assert asked.ask("/metrics").status_code == 401
    assert asked.ask("/metrics", {"Authorization": shown.encode()}).status_code == 401


def test_both_tokens_open_them_and_the_scrape_token_opens_nothing_else(scraped: Any) -> None:
    _, asked = scraped
    token = asked.scrape.file.read_text().strip()
    assert asked.get().status_code == 200
    assert asked.get(f"Bearer {TOKEN}").status_code == 200
    assert asked.ask("/api/rig", {"Authorization": f"Bearer {token}"}).status_code == 401
    assert "set-cookie" not in asked.get().headers


def test_the_token_lasts_until_others_could_have_read_it(tmp_path: Path) -> None:
    first = ScrapeToken(tmp_path).file.read_text()
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ScrapeToken(tmp_path).file.read_text() == first
    file.chmod(0o640)
    assert ScrapeToken(tmp_path).file.read_text() != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("short\n")
    assert len(ScrapeToken(tmp_path).file.read_text().strip()) >= 32


def test_they_parse_in_both_formats_and_are_named_by_the_conventions(scraped: Any) -> None:
    _, asked = scraped
    strict = asked.get(accept="application/openmetrics-text; version=1.0.0")
    assert strict.headers["content-type"].startswith("application/openmetrics-text")
    found = {one.name: one for one in open_metrics(strict.text)}
    ours = {name: one for name, one in found.items() if name.startswith("mien_")}
    assert len(ours) > 25
    assert {s.name for one in found.values() for s in one.samples} >= {"process_cpu_seconds_total"}
    for name, one in ours.items():
        assert one.documentation.endswith("."), name
        assert re.fullmatch(r"mien_[a-z_]+", name)
        for sample in one.samples:
            assert sample.name.endswith(UNITS) or sample.name in COUNTS, f"{sample.name} says no unit"
            assert not re.search(r"_(ms|mb|percent|minutes|milliseconds)\b", sample.name)
            assert set(sample.labels) <= LABELS


def test_they_are_told_while_the_records_are_away(scraped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    studio, asked = scraped
    assert asked.value("mien_records_trouble") == 0

    def away() -> None:
        raise DatabaseUnavailable("the server is away")

    monkeypatch.setattr(studio.records, "open_session", away)
    assert asked.value("mien_records_trouble") == 1
    assert asked.value("mien_camera_ready", camera="cam-01") == 0


def test_what_a_take_leaves_in_them_and_that_nobody_is_named(
    home: Any, fleet: Any, photos: Path, scraped: Any, sim_url: Callable[..., str]
) -> None:
    """After a fire every figure is there; no label is a code of the records, or a part of one."""
    studio, asked = scraped
    assert (asked.value("mien_fires_total"), asked.value("mien_takes_total", state="captured")) == (0, 0)
    assert asked.value("mien_camera_ready", camera="cam-01") == 0
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, photos, battery=57) for view in range(2)})
    studio.wait_for_cameras(30)
    session = studio.start_session(home.subject, "short")
    with json_log() as lines:
        take = studio.fire(session).take
    until(lambda: asked.value("mien_checks_pending") == 0 and studio.review(take) is not None)
    assert asked.value("mien_camera_ready", camera="cam-01", node="cam-01") == 1
    assert asked.value("mien_cameras", state="idle") == 2
    assert asked.value("mien_cameras", state="absent") == 0
    assert 0 < asked.value("mien_camera_battery_ratio", camera="cam-00") <= 1
    assert 0 < asked.value("mien_camera_clock_uncertainty_seconds", camera="cam-00") < 0.005
    assert 0 <= asked.value("mien_node_heard_age_seconds", camera="cam-00") < 20
    assert asked.value("mien_fires_total") == 1
    assert asked.value("mien_takes_total", state="captured") == 1
    assert 0 <= asked.value("mien_last_take_command_skew_seconds") < 1
    bytes_filed = sum((photos / f"{view}.jpg").stat().st_size for view in range(2))
    assert asked.value("mien_ingest_received_bytes_total") >= bytes_filed > 0
    assert asked.value("mien_ingest_files_stored_total") == 2
    assert asked.value("mien_disk_free_bytes", place="store") > 1e6
    assert (asked.value("mien_console_connections"), asked.value("mien_console_streams")) == (3, 0)
    assert asked.value("mien_node_connections", port="control") == 2
    about_it = [line for line in map(json.loads, lines.getvalue().splitlines()) if line.get("take") == take]
    assert [line["fire"].startswith(take) for line in about_it if "is fired" in line["message"]] == [True]
    assert f"{take} is captured" in {line["message"] for line in about_it}
    until(lambda: studio.preview_scan() is not None and studio.preview_scan().state == "failed")
    assert "mien rig calibration FILE" in studio.preview_scan().text  # what looks beside was told of the take
    codes = _codes(studio.engine)
    assert {home.subject, session, take, "neutral"} <= codes
    labels = {value for m in asked.metrics().values() for s in m.samples for value in s.labels.values()}
    assert len(labels) > 8
    assert [(label, code) for label in labels for code in codes if code.lower() in label.lower()] == []
    assert not any(code in asked.get().text for code in codes - {"neutral", "smile", "mouth_stretch"})


@contextmanager
def json_log() -> Iterator[io.StringIO]:
    """What is logged meanwhile, as JSON."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(JsonLogFormatter({}))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _codes(engine: Any) -> set[str]:
    """Every code and name of the records that says who or what was photographed."""
    columns = (Subject.code, CaptureSession.code, Take.code, FormerTakeCode.code, ProtocolExpression.name)
    with reading(engine) as tx:
        return {code for column in columns for code in tx.scalars(select(column))}
