"""Codes and labels: how subjects, sessions, expressions and takes are called in records, commands and file names.

    S012            a subject                                      SubjectCode
    S012-1          the first session of it                        SessionCode
    S012-1-E07      the seventh expression of the protocol there   ExpressionCode
    S012-1-E07-2    the second take of that                        TakeCode
    7_jaw_forward   FaceScape's name of the expression             TakeLabel

Each is a frozen value that `parse` reads and `str` writes; this module alone knows how they are spelt. `str` gives the
one spelling that is kept; `parse` also takes numbers without their leading zeros, and a small "e", as operators type
them. Neither knows whether there is such a subject or take.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

NEUTRAL = "neutral"  # the expression from which every other is registered

_SUBJECT = r"S(?P<subject>[0-9]{1,9})"
_SESSION = rf"{_SUBJECT}-(?P<session>[0-9]{{1,6}})"
_EXPRESSION = r"[Ee](?P<position>[0-9]{1,6})"
_ATTEMPT = r"(?P<attempt>[0-9]{1,6})"
_SUBJECT_CODE = re.compile(_SUBJECT)
_SESSION_CODE = re.compile(_SESSION)
_EXPRESSION_CODE = re.compile(f"{_SESSION}-{_EXPRESSION}")
_TAKE_CODE = re.compile(f"{_SESSION}-{_EXPRESSION}-{_ATTEMPT}")
_REFERENCE = re.compile(rf"(?:(?P<whole_session>.+?)-)?{_EXPRESSION}(?:-{_ATTEMPT})?")
_LABEL = re.compile(r"(?P<position>[1-9][0-9]{0,5})_(?P<name>[a-z0-9_]+)")
_LABEL_NAME = re.compile(r"[a-z0-9_]+")


class CodeError(ValueError):
    """A text is no code, or no label."""


class _Parsed(ABC):
    """A value with one spelling."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self:
        """The value that a text spells. Raises CodeError."""

    @classmethod
    def find(cls, text: str) -> Self | None:
        """The same; None for a text that spells none."""
        try:
            return cls.parse(text)
        except CodeError:
            return None


@dataclass(frozen=True, order=True)
class SubjectCode(_Parsed):
    """A person of the study, as in S012."""

    number: int  # from 1 in a study

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(int(_match(_SUBJECT_CODE, text, "the code of a subject, as in S012")["subject"]))

    def __str__(self) -> str:
        return f"S{self.number:03d}"


@dataclass(frozen=True, order=True)
class SessionCode(_Parsed):
    """One visit of a person, as in S012-1."""

    subject: SubjectCode
    number: int  # from 1 for each subject

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(*_session(_match(_SESSION_CODE, text, "the code of a session, as in S012-1")))

    def __str__(self) -> str:
        return f"{self.subject}-{self.number}"


@dataclass(frozen=True, order=True)
class ExpressionCode(_Parsed):
    """An expression of the protocol in one session, as in S012-1-E07: what is fired, skipped, taken again."""

    session: SessionCode
    position: int  # in the protocol, from 1

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _match(_EXPRESSION_CODE, text, "the code of an expression, as in S012-1-E07")
        return cls(SessionCode(*_session(found)), int(found["position"]))

    def __str__(self) -> str:
        return f"{self.session}-{_position(self.position)}"


@dataclass(frozen=True, order=True)
class TakeCode(_Parsed):
    """One take of an expression, as in S012-1-E07-2."""

    expression: ExpressionCode
    attempt: int  # from 1 for each expression of a session

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _match(_TAKE_CODE, text, "the code of a take, as in S012-1-E07-2")
        return cls(ExpressionCode(SessionCode(*_session(found)), int(found["position"])), int(found["attempt"]))

    @classmethod
    def of(cls, session: str, position: int, attempt: int) -> Self:
        """The code of a take of the session with this code. Raises CodeError."""
        return cls(ExpressionCode(SessionCode.parse(session), position), attempt)

    @property
    def position(self) -> int:
        """The expression's place in the protocol, from 1."""
        return self.expression.position

    @property
    def session(self) -> SessionCode:
        return self.expression.session

    @property
    def subject(self) -> SubjectCode:
        return self.expression.session.subject

    def __str__(self) -> str:
        return f"{self.expression}-{self.attempt}"


@dataclass(frozen=True)
class TakeReference:
    """What an operator names: an expression or a take, with its session or in the one that is meant anyway.

    E07, E07-2, S012-1-E07, S012-1-E07-2. Whether there is such a session is not judged here: its code is as written.
    """

    position: int
    attempt: int | None = None
    session: str | None = None

    @classmethod
    def find(cls, text: str) -> Self | None:
        """None for a text that is none, as the name of an expression or the code of a session."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            return None
        attempt = None if found["attempt"] is None else int(found["attempt"])
        return cls(int(found["position"]), attempt, found["whole_session"])

    @property
    def within(self) -> str:
        """The expression alone, without its session, as in E07."""
        return _position(self.position)


@dataclass(frozen=True, order=True)
class TakeLabel(_Parsed):
    """FaceScape's name of an expression, which names a take's folder and files: `<position>_<name>`, as in 2_smile.

    Raises CodeError for a position below 1 and for a name with other signs than a to z, digits and "_".
    """

    position: int  # in the protocol, from 1
    name: str

    def __post_init__(self) -> None:
        if self.position < 1 or not _LABEL_NAME.fullmatch(self.name):
            raise CodeError(f"{self.position}_{self.name!r} is no label of a take, as in 2_smile")

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _match(_LABEL, text, "the label of a take, as in 2_smile")
        return cls(int(found["position"]), found["name"])

    @property
    def is_neutral(self) -> bool:
        """Whether it is the face at rest."""
        return self.name == NEUTRAL

    def __str__(self) -> str:
        return f"{self.position}_{self.name}"


def _match(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise CodeError(f"{text[:80]!r} is not {what}")
    return found


def _session(found: re.Match[str]) -> tuple[SubjectCode, int]:
    return SubjectCode(int(found["subject"])), int(found["session"])


def _position(position: int) -> str:
    return f"E{position:02d}"
