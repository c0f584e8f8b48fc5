"""Passwords: what is taken, what is right, what is kept."""

import pytest
from argon2 import PasswordHasher

from controller.accounts import passwords
from controller.accounts.passwords import PasswordRefused

GOOD = "rope tango seven lamp"


def test_a_password_is_right_however_it_was_typed() -> None:
    hashed = passwords.new_hash("cafe\u0301 am ring acht", "anna")  # an e and an accent
    assert hashed.startswith("$argon2id$")
    assert passwords.matches(hashed, "caf\u00e9 am ring acht")
    assert not passwords.matches(hashed, "cafe am ring acht")
    assert passwords.new_hash(GOOD, "anna") != passwords.new_hash(GOOD, "anna")


@pytest.mark.parametrize("weak", ["", "short", "a" * 30, "annaannaanna", "anna" * 4 + " ", "x" * 201, "ababababababab"])
def test_what_is_easily_guessed_is_refused_and_not_repeated(weak: str) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        passwords.new_hash(weak, "anna")
    assert not weak or weak not in str(refusal.value)


@pytest.mark.parametrize("kept", [None, "", "no hash", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
def test_an_account_without_a_password_has_no_right_one(kept: str | None) -> None:
    for given in ("", "nobody's password", GOOD):
        assert not passwords.matches(kept, given)


def test_a_password_is_hashed_anew_under_newer_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    old = passwords.new_hash(GOOD, "anna")
    assert passwords.hash_anew(old, GOOD) is None
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1))
    new = passwords.hash_anew(old, GOOD)
    assert new is not None
    assert passwords.matches(old, GOOD)
    assert passwords.matches(new, GOOD)


def test_the_programs_own_parameters_are_what_is_recommended() -> None:
    parameters = PasswordHasher()
    assert parameters.memory_cost >= 47104 or parameters.time_cost * parameters.memory_cost >= 47104
    assert parameters.type.name == "ID"
