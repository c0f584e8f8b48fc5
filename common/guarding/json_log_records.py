"""Log records as JSON, one object a line: what was logged, when, by whom; which fire, take and camera it is about."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from pythonjsonlogger.json import JsonFormatter

from common.guarding.log_fields import LogFormat, fields_of
from common.guarding.safe_text import escaped_lines
from common.guarding.secret_masking import masked


class JsonLogFormatter(JsonFormatter):
    """time (ISO 8601, UTC), level, logger, message, the fields of common.guarding.log_fields, traceback.

    fixed: fields of every record. Nothing that a program puts beside a record comes through but these. Strings are in
    ASCII, so that no line can be ended and none forged from within; secrets are masked.
    """

    form: ClassVar[LogFormat] = LogFormat.JSON

    def __init__(self, fixed: Mapping[str, str]) -> None:
        super().__init__(["levelname", "name", "message"], json_ensure_ascii=True)
        self._fixed = dict(fixed)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = self.formatTime(record)
        log_data |= {"level": record.levelname, "logger": record.name, "message": masked(record.message)}
        log_data |= {name: escaped_lines(masked(value)) for name, value in (self._fixed | fields_of(record)).items()}
        for ours, theirs in (("traceback", "exc_info"), ("stack", "stack_info")):
            if message_dict.get(theirs):
                log_data[ours] = masked(message_dict[theirs])

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        del datefmt
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
