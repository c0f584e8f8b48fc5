"""Log lines as JSON: one object a line whatever is logged, with what it is about, and without secrets."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.guarding.json_log_records import JsonLogFormatter
from common.guarding.log_fields import LogFormat, about
from common.guarding.log_records import SafeLogFormatter, log_as_camera, log_to

ANY = st.text(st.characters(), max_size=60)


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord("x", logging.ERROR, "x.py", 1, message, args, None, extra=extra)


def written(one: logging.LogRecord, **fixed: str) -> dict[str, Any]:
    line = JsonLogFormatter(fixed).format(one)
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


@settings(deadline=None)
@given(ANY, ANY, ANY)
def test_a_record_is_one_object_on_one_line_whatever_is_logged(message: str, cause: str, camera: str) -> None:
    try:
        raise ValueError(cause)
    except ValueError:
        one = record("%s said", message, camera=camera)
        one.exc_info = sys.exc_info()
    found = written(one)
    assert set(found) - {"camera"} == {"time", "level", "logger", "message", "traceback"}
    assert (found["level"], found["logger"]) == ("ERROR", "x")
    assert found["message"].endswith(" said")


def test_it_says_which_fire_take_and_camera_and_nothing_else_that_lies_beside_it() -> None:
    one = record("%s: late", "cam-07", camera="cam-07", subject="S012", password="hunter22", take="")
    assert written(one) | {"time": ""} == {
        "time": "", "level": "ERROR", "logger": "x", "message": "cam-07: late", "camera": "cam-07",
    }  # fmt: skip


def test_a_threads_fields_are_its_own_and_end_with_what_it_is_at() -> None:
    seen: dict[str, Any] = {}
    with about(take="S001-1-E01-1", fire="f1"):
        with about(fire="f2"):
            inner = written(record("a", camera="cam-00"))
        thread = threading.Thread(target=lambda: seen.update(written(record("b"))))
        thread.start()
        thread.join()
    assert (inner["take"], inner["fire"], inner["camera"]) == ("S001-1-E01-1", "f2", "cam-00")
    assert not seen.keys() & {"take", "fire"}
    assert not written(record("c")).keys() & {"take", "fire"}


def test_secrets_are_masked_in_every_field() -> None:
    found = written(record("at postgresql://mien:hunter22@h/x", camera="token=hunter22"), node="password: hunter22")
    assert "hunter22" not in json.dumps(found)


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a new process has it."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers[:] = []
    try:
        yield logger
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.mark.parametrize("form", LogFormat)
def test_a_cameras_process_says_which_camera_in_either_form(form: LogFormat) -> None:
    stream = io.StringIO()
    with bare_root() as root:
        log_to(stream, form=form)
        log_as_camera("cam-07")
        root.info("here")
        line, formatter = stream.getvalue(), root.handlers[0].formatter
    assert "cam-07" in line
    if form is LogFormat.JSON:
        assert json.loads(line)["camera"] == "cam-07"
    else:
        assert isinstance(formatter, SafeLogFormatter)
        assert line.endswith(" cam-07 INFO here\n")
