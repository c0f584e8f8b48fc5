"""A model's card counts its members and names nobody."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processing.face_models.model_card import (
    ANY,
    LEAST_TOLD,
    NOT_FOR,
    OTHER,
    Member,
    ModelCard,
    card_text,
    grouped,
    members_from_json,
)

ages = st.sampled_from(["15-24", "25-34", "35-44", "65-74", None])
genders = st.sampled_from(["female", "male", "other", None])


@given(st.lists(st.tuples(ages, genders), min_size=0, max_size=60))
def test_no_count_is_of_few(who: list[tuple[str | None, str | None]]) -> None:
    members = [Member(f"S{i:03d}", age, gender) for i, (age, gender) in enumerate(who)]
    counts = grouped(members)
    cells = [n for group in counts.values() for n in group.values()]
    assert sum(cells) == len(members)
    assert all(n >= LEAST_TOLD for n in cells) or len(cells) == 1
    by_age = Counter(age for age, _ in who)
    for age, group in counts.items():
        if age != OTHER:
            assert sum(group.values()) == by_age[None if age == "not given" else age]
            assert ANY not in group or len(group) == 1


def test_enough_of_each_are_told() -> None:
    members = [Member(f"S{i}", "25-34", ("female", "male")[i % 2]) for i in range(12)]
    assert grouped(members) == {"25-34": {"female": 6, "male": 6}}


def test_the_card_reads_and_is_read_back() -> None:
    members = [Member(f"S{i:03d}", "25-34", "female") for i in range(6)]
    figures = {"rms_mm": 0.1234567, "explained": [0.5, 0.75]}
    card = ModelCard(6, grouped(members), {"vertices": 26000}, figures, {"rigs": "ab"})
    text = card_text("faces", 3, card)
    assert ModelCard.from_json(card.as_json()) == card
    assert "# Face model faces, version 3" in text
    assert "| 25-34 | 6 |" in text
    assert all(use in text for use in NOT_FOR)
    assert "0.1235" in text
    assert not any(member.code in text for member in members)


def test_members_are_read() -> None:
    said = {"members": [{"code": "S001", "age": "25-34", "gender": None}]}
    assert members_from_json(said) == (Member("S001", "25-34", None),)
