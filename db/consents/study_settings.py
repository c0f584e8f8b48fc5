"""`[records]` of studio.toml: who answers for the records, what consents demand, how long what is kept.

[records]
controller = "University of Example, Faces Laboratory, 1 Example Street, Example"
contact = "privacy@example.org"               # of the controller, or its data protection officer
notice = "https://example.org/faces/privacy"  # what subjects are told before they sign
purpose = "research on human faces"
earliest_consent = 2019-01-01                 # no form of this study can be older
age_of_consent = 18                           # years; under it a guardian signs
withdrawn_kept = "30 days"                    # for how long what is kept of somebody who withdrew may wait

[records.retention]                           # from the day of signature
research_release = "10 years"
publication = "5 years"
"""

import re
from calendar import monthrange
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Self

from common.configuration.loader import check_keys
from db.consents.consent_rules import AGE_OF_CONSENT, EARLIEST, ConsentRules, words
from db.errors import RecordError, SettingsError
from db.models import ConsentScope
from db.settings import Settings

SECTION = "records"
_DEMANDED = ("controller", "contact", "notice", "purpose")
_TEXTS = (*_DEMANDED, "jurisdiction", "authority")
_WHERE = f"studio.toml [{SECTION}]"
_TERM = re.compile(r"(\d{1,4}) (day|month|year)s?")


@dataclass(frozen=True)
class Term:
    """For how long something is kept."""

    count: int
    unit: str  # day, month or year

    @classmethod
    def of(cls, text: object, where: str) -> Self:
        """As written: '10 years', '6 months', '30 days'. Raises SettingsError."""
        found = _TERM.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None or int(found[1]) == 0:
            raise SettingsError(f"{where} is written as '10 years', '6 months' or '30 days', not {text!r}")
        return cls(int(found[1]), found[2])

    def after(self, day: date) -> date:
        """The day on which it is over. A day that a month lacks is that month's last."""
        if self.unit == "day":
            return day + timedelta(days=self.count)
        months = day.year * 12 + day.month - 1 + self.count * (12 if self.unit == "year" else 1)
        year, month = divmod(months, 12)
        if year > date.max.year:
            return date.max
        return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'s' if self.count != 1 else ''}"


@dataclass(frozen=True)
class StudySettings:
    """Who answers for the records. What is None was not said."""

    controller: str | None = None
    contact: str | None = None
    notice: str | None = None
    purpose: str | None = None
    jurisdiction: str | None = None
    authority: str | None = None
    rules: ConsentRules = field(default_factory=ConsentRules)
    retention: Mapping[ConsentScope, Term] = field(default_factory=dict)
    withdrawn_kept: Term = Term(30, "day")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """From studio.toml. Raises SettingsError for a key that nobody reads, and for a value that cannot be."""
        table = settings.sections.get(SECTION, {})
        known = (*_TEXTS, "earliest_consent", "age_of_consent", "withdrawn_kept", "retention")
        check_keys(table, known, _WHERE, SettingsError)
        return cls(
            **{name: _text(table, name) for name in _TEXTS},
            rules=ConsentRules(_earliest(table), _age(table)),
            retention=_retention(table),
            withdrawn_kept=Term.of(table.get("withdrawn_kept", "30 days"), f"{_WHERE}: withdrawn_kept"),
        )

    def lacking(self, given: Collection[ConsentScope] = ()) -> list[str]:
        """Keys without which a receipt does not say all that it should. given: the scopes that it tells of."""
        missing = [name for name in _DEMANDED if getattr(self, name) is None]
        told = [scope for scope in LASTING if scope in USUAL or scope in given]
        terms = [f"retention.{scope}" for scope in told if scope not in self.retention]
        return missing + terms


USUAL = (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)  # scopes of every study
LASTING = (*USUAL, ConsentScope.STATISTICAL_MODEL)  # eyes_mosaicked lasts as publication does


def _text(table: Mapping[str, Any], name: str) -> str | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{_WHERE}: {name} is a text")
    try:
        return words(value, f"{_WHERE}: {name}", 500)
    except RecordError as error:
        raise SettingsError(str(error)) from error


def _earliest(table: Mapping[str, Any]) -> date:
    value = table.get("earliest_consent", EARLIEST)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise SettingsError(f"{_WHERE}: earliest_consent is a day, as in 2019-01-01 without quotes")
    return value


def _age(table: Mapping[str, Any]) -> int:
    value = table.get("age_of_consent", AGE_OF_CONSENT)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 120:
        raise SettingsError(f"{_WHERE}: age_of_consent is years, 0 to 120")
    return value


def _retention(table: Mapping[str, Any]) -> dict[ConsentScope, Term]:
    written = table.get("retention", {})
    where = f"studio.toml [{SECTION}.retention]"
    if not isinstance(written, dict):
        raise SettingsError(f"{where} is a table")
    check_keys(written, [str(scope) for scope in LASTING], where, SettingsError)
    return {ConsentScope(name): Term.of(text, f"{where}: {name}") for name, text in written.items()}
