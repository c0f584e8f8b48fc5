"""Personal data opens with its key and with nothing else, and shows nowhere."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from db.commands import subject as subject_command
from db.engine import reading, transaction, utc_now
from db.errors import NotFound, PersonalDataError, PersonalKeyError
from db.models import Personal, Subject
from db.subject_data.personal_data import (
    KEY,
    KEY_FILE,
    forget_personal,
    keep_personal,
    new_key,
    personal_of,
    rekey_personal,
)
from db.subjects import add_subject, get_subject

PERSON = {"name": "Zoë Plantedname", "email": "zoe@planted.example", "note": "prefers mornings"}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    made = new_key()
    monkeypatch.setenv(KEY, made)
    return made


@pytest.fixture
def kept(engine: Engine) -> Engine:
    with transaction(engine) as tx:
        keep_personal(tx, add_subject(tx), {**PERSON, "phone": "  "})
        add_subject(tx)
    return engine


def read(engine: Engine, code: str = "S001") -> dict[str, str]:
    with transaction(engine) as tx:
        return personal_of(tx, get_subject(tx, code))


def test_it_comes_back_whole_and_lies_there_sealed(kept: Engine) -> None:
    assert read(kept) == PERSON
    with reading(kept) as tx:
        sealed = tx.scalars(select(Personal.sealed)).one()
        events = [(e.action, e.detail) for e in events_about(tx, "subject", "S001")]
    assert not any(text in sealed for text in PERSON.values())
    assert events[1:] == [
        ("personal.keep", {"fields": ["email", "name", "note"], "replace": False}),
        ("personal.read", {}),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [("", "is not set"), (" , ", "is not set"), ("hunter2", "no key"), ("another", "does not open")],
)
def test_without_its_key_it_is_refused_clearly(
    kept: Engine, key: str, written: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, new_key() if written == "another" else written)
    with pytest.raises(PersonalKeyError, match=said) as caught:
        read(kept)
    assert caught.value.exit_code == 2
    assert key not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with transaction(kept) as tx:
        forget_personal(tx, get_subject(tx, "S001"))  # removing needs no key


def test_keys_are_changed_without_losing_anything(kept: Engine, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = new_key()
    monkeypatch.setenv(KEY, fresh)
    with pytest.raises(PersonalKeyError, match="S001 does not open"), transaction(kept) as tx:
        rekey_personal(tx)
    monkeypatch.setenv(KEY, f"{fresh},{key}")
    assert read(kept) == PERSON
    with transaction(kept) as tx:
        assert rekey_personal(tx) == 1
    monkeypatch.setenv(KEY, fresh)
    assert read(kept) == PERSON
    monkeypatch.setenv(KEY, key)
    with pytest.raises(PersonalKeyError):
        read(kept)


def test_changed_and_exchanged_rows_do_not_open(kept: Engine) -> None:
    with transaction(kept) as tx:
        keep_personal(tx, get_subject(tx, "S002"), {"name": "Another"})
        first, second = tx.scalars(select(Personal.sealed).order_by(Personal.subject_id)).all()
    for sealed, problem in ((second, "another subject"), (first[:-5] + "AAAA=", "changed")):
        with transaction(kept) as tx:
            tx.execute(update(Personal).where(Personal.subject_id == 1).values(sealed=sealed))
        with pytest.raises(PersonalDataError, match=problem):
            read(kept)


def test_what_cannot_be_kept_is_said_without_saying_it(kept: Engine) -> None:
    for data in ({"nmae": "Plantedname"}, {"Plantedname": "x"}, {"name": " "}, {}):
        with pytest.raises(PersonalDataError) as caught, transaction(kept) as tx:
            keep_personal(tx, get_subject(tx, "S002"), data)
        assert "Plantedname" not in str(caught.value)
    with pytest.raises(NotFound, match="S002"):
        read(kept, "S002")


def test_values_stay_out_of_the_databases_errors_and_logs(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        with transaction(engine) as tx:
            code = add_subject(tx, job="Plantedname").code
        twin = Subject(code=code, job="Plantedname", created_at=utc_now())
        with pytest.raises(IntegrityError) as caught, transaction(engine) as tx:
            tx.add(twin)
    assert "Plantedname" not in str(caught.value)
    assert "Plantedname" not in caplog.text


def run(*arguments: str, said: Any = None) -> tuple[int, str]:
    result = CliRunner().invoke(subject_command.app, ["personal", *arguments], input=json.dumps(said))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_mien_subject_personal(kept: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    where = ("--home", str(tmp_path), "--database", kept.url.render_as_string(hide_password=False))
    assert run("set", "S002", *where, said={"name": "Ann Other"}) == (0, "Kept of S002, sealed\n")
    assert "Ann Other" in run("show", "S002", *where)[1]
    assert json.loads(run("show", "S001", "--json", *where)[1]) == PERSON
    for wrong in (["Ann"], {"name": 3}, "Ann"):
        with pytest.raises(PersonalDataError, match="no JSON object"):
            run("set", "S002", *where, said=wrong)
    fresh = run("new-key")[1].strip()
    monkeypatch.setenv(KEY, f"{fresh},{key}")
    assert "2 subjects" in run("rekey", *where)[1]
    run("remove", "S002", *where)
    with pytest.raises(NotFound):
        run("show", "S002", *where)


def test_what_is_added_keeps_what_was_there(kept: Engine, tmp_path: Path) -> None:
    where = ("--home", str(tmp_path), "--database", kept.url.render_as_string(hide_password=False))
    run("set", "S001", *where, said={"phone": "+1", "note": ""})
    assert read(kept) == {**PERSON, "phone": "+1"}
    assert run("remove", "S001", "--field", "phone", "--field", "note", *where) == (0, "Removed of S001: phone, note\n")
    assert read(kept) == {name: text for name, text in PERSON.items() if name != "note"}
    with pytest.raises(PersonalDataError, match="is not kept: phone"):
        run("remove", "S001", "--field", "phone", *where)
    run("set", "S001", "--replace", *where, said={"name": "Zoë Newname"})
    assert read(kept) == {"name": "Zoë Newname"}
    assert "Nothing personal" in run("remove", "S001", "--field", "name", *where)[1]
    with pytest.raises(NotFound):
        read(kept)


def test_adding_needs_the_key_of_what_is_there(kept: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, new_key())
    with pytest.raises(PersonalKeyError, match="does not open"), transaction(kept) as tx:
        keep_personal(tx, get_subject(tx, "S001"), {"phone": "+1"})


def test_a_key_in_a_file_is_its_owners_alone(kept: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "the key"
    said = run("new-key", "--to", str(path))[1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in said
    assert f"MIEN_PERSONAL_KEY_FILE='{path}'" in said
    with pytest.raises(PersonalKeyError, match="is there already"):
        run("new-key", "--to", str(path))
    monkeypatch.delenv(KEY)
    monkeypatch.setenv(KEY_FILE, str(path))
    with transaction(kept) as tx:
        keep_personal(tx, get_subject(tx, "S002"), {"name": "Another"})
    assert read(kept, "S002") == {"name": "Another"}
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(PersonalKeyError, match="others may read"):
            read(kept, "S002")
    for wrong in (tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        monkeypatch.setenv(KEY_FILE, str(wrong))
        with pytest.raises(PersonalKeyError, match=KEY_FILE):
            read(kept, "S002")


def test_a_key_is_not_shown_on_a_screen(tmp_path: Path) -> None:
    main, screen = os.openpty()
    try:
        shown = subprocess.run(
            [sys.executable, "-m", "mien", "subject", "personal", "new-key"], stdout=screen, stderr=subprocess.PIPE,
            text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
    finally:
        os.close(screen)
        os.close(main)
    assert (shown.returncode, "--to FILE" in shown.stderr) == (2, True)
