"""Codes and labels: what is written is read again, and nothing else is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.take_codes import (
    CodeError,
    ExpressionCode,
    SessionCode,
    SubjectCode,
    TakeCode,
    TakeLabel,
    TakeReference,
)

NUMBERS = st.integers(0, 10**6 - 1)
SUBJECTS = st.builds(SubjectCode, st.integers(0, 10**9 - 1))
SESSIONS = st.builds(SessionCode, SUBJECTS, NUMBERS)
EXPRESSIONS = st.builds(ExpressionCode, SESSIONS, NUMBERS)
TAKES = st.builds(TakeCode, EXPRESSIONS, NUMBERS)
LABELS = st.builds(TakeLabel, st.integers(1, 10**6 - 1), st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True))
KINDS: tuple[Any, ...] = (SubjectCode, SessionCode, ExpressionCode, TakeCode, TakeLabel)


@given(st.one_of(SUBJECTS, SESSIONS, EXPRESSIONS, TAKES, LABELS))
def test_what_is_written_is_read_again_and_is_no_code_of_another_kind(value: Any) -> None:
    text = str(value)
    assert type(value).parse(text) == type(value).find(text) == value
    assert hash(type(value).parse(text)) == hash(value)
    for kind in KINDS:
        if kind is not type(value):
            assert kind.find(text) is None


@given(TAKES)
def test_a_take_knows_what_it_is_of(take: TakeCode) -> None:
    text = str(take)
    assert text == f"{take.expression}-{take.attempt}"
    assert text.startswith(f"{take.session}-E")
    assert str(take.session).startswith(f"{take.subject}-")
    assert TakeCode.of(str(take.session), take.position, take.attempt) == take


def test_codes_are_spelt_as_in_the_records() -> None:
    take = TakeCode.parse("S012-1-E07-2")
    assert (take.subject.number, take.session.number, take.position, take.attempt) == (12, 1, 7, 2)
    assert [str(part) for part in (take.subject, take.session, take.expression, take)] == [
        "S012", "S012-1", "S012-1-E07", "S012-1-E07-2"
    ]  # fmt: skip
    assert str(SubjectCode(1234)) == "S1234"
    assert str(TakeCode.of("S001-1", 101, 3)) == "S001-1-E101-3"
    assert str(TakeLabel(20, "brow_lower")) == "20_brow_lower"


def test_an_operator_may_leave_zeros_out_but_one_spelling_is_kept() -> None:
    assert str(TakeCode.parse("S12-1-e7-2")) == "S012-1-E07-2"


@pytest.mark.parametrize(
    "text",
    ["", "S", "S012", "S012-1", "S012-1-E07", "S012-E07-1", "s012-1-E07-1", "S012-1-E07-1 ", "S012-1-E07-1\n",
     "S012-1-E07-", "S012-1-E07-x", "S012-1-E07-1-1", "S-1-1-E07-1", "S012-1-E07--1", "S012-1-E0７-1", "1_smile"],
)  # fmt: skip
def test_what_is_no_take_is_refused_with_an_example(text: str) -> None:
    assert TakeCode.find(text) is None
    with pytest.raises(CodeError, match="S012-1-E07-2"):
        TakeCode.parse(text)


@pytest.mark.parametrize(
    "text", ["", "smile", "_smile", "0_smile", "01_smile", "2_", "2_Smile", "2 smile", "2_smile\n", "2_a/b"]
)
def test_what_is_no_label_is_refused_with_an_example(text: str) -> None:
    assert TakeLabel.find(text) is None
    with pytest.raises(CodeError, match="2_smile"):
        TakeLabel.parse(text)


@pytest.mark.parametrize(("position", "name"), [(0, "smile"), (-1, "smile"), (2, ""), (2, "a b"), (2, "../x")])
def test_a_label_that_could_not_be_read_again_is_not_made(position: int, name: str) -> None:
    with pytest.raises(CodeError):
        TakeLabel(position, name)


@given(st.text())
def test_any_text_is_a_value_or_refused(text: str) -> None:
    for kind in KINDS:
        found = kind.find(text)
        assert found is None or kind.parse(str(found)) == found


def test_labels_are_in_the_order_of_the_protocol() -> None:
    assert sorted(map(TakeLabel.parse, ("10_sadness", "2_smile", "1_neutral"))) == [
        TakeLabel(1, "neutral"), TakeLabel(2, "smile"), TakeLabel(10, "sadness")
    ]  # fmt: skip
    assert TakeLabel.parse("1_neutral").is_neutral
    assert not TakeLabel.parse("2_smile").is_neutral


@given(TAKES)
def test_a_reference_is_a_code_with_or_without_its_session(take: TakeCode) -> None:
    session, within = str(take.session), str(take)[len(str(take.session)) + 1 :]
    assert TakeReference.find(str(take)) == TakeReference(take.position, take.attempt, session)
    assert TakeReference.find(str(take.expression)) == TakeReference(take.position, None, session)
    assert TakeReference.find(within) == TakeReference(take.position, take.attempt)


def test_references_split() -> None:
    def split(text: str) -> tuple[str | None, str] | None:
        found = TakeReference.find(text)
        return None if found is None else (found.session, found.within)

    assert split("S012-1-E07-2") == ("S012-1", "E07")
    assert split("S012-1-E07") == ("S012-1", "E07")
    assert split("S012-E07") == ("S012", "E07")
    assert split("e7") == (None, "E07")
    assert [split(text) for text in ("S012-1", "smile", "2_smile", "7", "")] == [None] * 5
