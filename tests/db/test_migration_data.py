"""Every revision is left with rows in every table, upwards to the newest and back, on both databases."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, func, insert, select, update

from db.audit import audit_log
from db.engine import open_database, reading
from db.migrations import _config, downgrade, upgrade
from db.models import Base

REVISIONS = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
# What is old does not change: from the first upwards every migration runs, and back, and from the newest ones too.
EVERY_DAY = {REVISIONS[0], *REVISIONS[-4:]}
FROM = [r if r in EVERY_DAY else pytest.param(r, marks=pytest.mark.slow) for r in REVISIONS]
WHEN = datetime(2026, 3, 2, 10, 20, 30, 123456, tzinfo=UTC)
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
Rows = dict[str, list[dict[str, Any]]]


def audit_rows() -> list[dict[str, Any]]:
    previous, rows = audit_log.BEGINNING, []
    details: list[dict[str, Any]] = [{}, {"scope": "publication", "n": 3.0}, {"nested": {"x": [1e16, 0.1, "ä"]}}]
    for number, detail in enumerate(details, start=1):
        about = {"about_kind": "subject", "about_id": "S001"}
        row = {"at": WHEN, "actor": "tester", "action": f"act.{number}", **about, "detail": detail}
        sha256 = audit_log.link(previous, row)
        rows.append({"id": number, **row, "previous": previous, "sha256": sha256})
        previous = sha256
    return rows


# In an order that foreign keys allow; columns and tables that a revision lacks are left out there.
ROWS: Rows = {
    "subject": [
        {"id": 1, "code": "S001", "age": 41, "gender": "female", "job": "nurse", "created_at": WHEN, "erased_at": None},
        {"id": 2, "code": "S002", "age": None, "gender": None, "job": None, "created_at": WHEN, "erased_at": WHEN},
    ],
    "consent": [
        {"id": 1, "subject_id": 1, "scope": "research_release", "document_sha256": A, "form_version": "2026-01",
         "given_on": date(2026, 1, 2), "recorded_at": WHEN, "withdrawn_at": None, "guardian": False,
         "shared_reason": None},
        {"id": 2, "subject_id": 1, "scope": "publication", "document_sha256": None, "form_version": None,
         "given_on": date(2026, 1, 2), "recorded_at": WHEN, "withdrawn_at": WHEN, "guardian": True,
         "shared_reason": "twins"},
    ],
    "subject_change": [{"id": 1, "subject_id": 1, "field": "job", "before": "cook", "changed_at": WHEN}],
    "retention_term": [
        {"id": 1, "subject_id": 1, "scope": "publication", "until": date(2030, 1, 2), "reason": "agreed",
         "set_at": WHEN},
    ],
    "studio_identity": [{"id": 1, "studio": "0" * 32, "made_at": WHEN, "noting": 2, "noted": 1}],
    "personal": [{"subject_id": 1, "sealed": "gAAAA", "changed_at": WHEN}],
    "protocol": [{"id": 1, "name": "two", "version": 1}],
    "protocol_expression": [
        {"id": n, "protocol_id": 1, "position": n, "name": f"e{n}", "instruction": "Rest.", "recipe": {"eyes": "open"}}
        for n in (1, 2)
    ],
    "rig": [{"id": 1, "name": "booth"}],
    "camera": [{"id": 1, "rig_id": 1, "view_index": 0, "name": "cam-0", "serial": "7", "url": "sim:", "tier": "side"}],
    "calibration": [
        {"id": 1, "rig_id": 1, "version": 1, "method": "board", "data": {"0_K": [[1.0]]}, "made_at": WHEN}
    ],
    "shutter_lag": [
        {"id": 1, "camera_id": 1, "profile": "default", "settings": "iso=100", "shots": 9, "mean_ms": 58.5,
         "sigma_ms": 0.3, "measured_by": "hot_shoe", "measured_at": WHEN},
    ],
    "camera_report": [
        {"id": n, "camera_id": camera, "model": "D850", "serial": "7", "firmware": "1.2", "made_at": WHEN,
         "kept_at": WHEN, "verdict": verdict, "exposures": 100, "sha256": key, "report": {"form": 1}}
        for n, camera, verdict, key in ((1, 1, "fit_with_remarks", A), (2, None, "unfit", B))
    ],
    "session": [
        {"id": 1, "code": "S001-1", "subject_id": 1, "protocol_id": 1, "rig_id": 1, "calibration_id": 1,
         "state": "closed", "profile": "default", "opened_at": WHEN, "closed_at": WHEN},
    ],
    "camera_aside": [
        {"id": 1, "camera_id": 1, "reason": "shutter stuck", "since": WHEN, "until": WHEN, "session_id": None,
         "lifted_at": WHEN, "lifted_by": "time"},
        {"id": 2, "camera_id": 1, "reason": "again", "since": WHEN, "until": None, "session_id": 1,
         "lifted_at": None, "lifted_by": None},
    ],
    "skipped_expression": [{"id": 1, "session_id": 1, "expression_id": 2, "reason": "tired", "skipped_at": WHEN}],
    "take": [
        {"id": 1, "code": "S001-1-E01-1", "session_id": 1, "expression_id": 1, "attempt": 1, "state": "accepted",
         "planned_at": WHEN, "fired_at": WHEN, "command_skew_ms": 0.5, "clock_uncertainty_ms": 0.25,
         "exposure_skew_ms": None, "exposure_source": "not_measured", "problem": "late", "profile": "default",
         "setup": {"iso": "100"}, "calibration_id": 1, "dropped_at": None},
        {"id": 2, "code": "S001-1-E01-2", "session_id": 1, "expression_id": 1, "attempt": 2, "state": "superseded",
         "planned_at": WHEN, "fired_at": WHEN, "command_skew_ms": 0.5, "clock_uncertainty_ms": 0.25,
         "exposure_skew_ms": None, "exposure_source": "not_measured", "problem": None, "profile": "default",
         "setup": {"iso": "100"}, "calibration_id": 1, "dropped_at": None},
    ],
    "session_act": [
        {"id": 1, "session_id": 1, "take_id": 1, "kind": "accept", "detail": {"was": "captured"}, "by": "tester",
         "at": WHEN, "undone_at": WHEN, "undone_by": "tester"},
    ],
    "former_take_code": [
        {"id": 1, "take_id": 1, "code": "S001-1-E02-1", "session_id": 1, "expression_id": 2, "attempt": 1,
         "until": WHEN},
    ],
    "take_absence": [
        {"id": 1, "take_id": 1, "camera_id": 1, "kind": "decided", "reason": "cable", "recorded_at": WHEN,
         "came_at": WHEN},
    ],
    "frame": [
        {"id": 1, "take_id": 1, "camera_id": 1, "sha256": A, "bytes": 8_000_000_000, "width": 8, "height": 12,
         "exposed_at_ns": 10**18, "command_error_ms": 0.125, "clock_uncertainty_ms": 0.5, "clock_source": "ptp",
         "clock_offset_ns": -(10**12), "clock_drift_ppb": -40,
         "body_clock_error_ms": 10**12, "name": "IMG_1.JPG", "exif": {"iso": 100}},
    ],
    "raw_file": [
        {"id": 1, "take_id": 1, "camera_id": 1, "sha256": B, "bytes": 5, "format": "dng", "model": "m", "name": "n"}
    ],
    "frame_measure": [{"frame_id": 1, "sharpness": 0.5, "brightness": 100.0, "clipped_percent": 0.5, "face": True}],
    "take_review": [{"take_id": 1, "reviewed_at": WHEN, "seconds": 0.5, "sheet": C, "scores": {"jawOpen": 0.5}}],
    "take_check": [
        {"id": 1, "take_id": 1, "camera_id": 1, "name": "eyes", "state": "advice", "measured": 0.5, "bound": 0.25,
         "reason": "closed"},
    ],
    "job": [
        {"id": n, "key": key, "stage": "bake", "version": 3, "params": {"size_px": 4096}, "subject_id": 1, "take_id": 1,
         "priority": 100, "state": state, "worker": "w", "lease_until": None, "heartbeat_at": WHEN, "not_before": None,
         "attempts": 1, "error": None, "created_at": WHEN, "started_at": WHEN, "finished_at": WHEN}
        for n, key, state in ((1, C, "done"), (2, D, "failed"))
    ],
    "job_take": [{"job_id": 1, "take_id": 1}],
    "job_subject": [{"job_id": 1, "subject_id": 1}],
    "job_input": [
        {"id": 1, "job_id": 1, "name": "take", "label": "", "sha256": A, "from_job_id": None, "from_output": None},
        {"id": 2, "job_id": 2, "name": "scan", "label": "", "sha256": None, "from_job_id": 1, "from_output": "scan"},
    ],
    "face_model": [
        {"id": 1, "name": "faces", "version": 1, "key": C, "job_id": 1, "selection_sha256": A,
         "selection": {"subjects": ["S001"]}, "created_at": WHEN, "marked_at": WHEN},
    ],
    "face_model_member": [{"model_id": 1, "subject_id": 1, "left_at": WHEN, "why": "consent"}],
    "artefact": [
        {"id": n, "job_id": 1, "output": output, "sha256": C, "bytes": 7, "media": "model/ply", "made_at": WHEN}
        for n, output in ((1, "scan"), (2, "mesh"))
    ],
    "artefact_parent": [
        {"id": 1, "artefact_id": 1, "parent_id": None, "frame_id": 1},
        {"id": 2, "artefact_id": 2, "parent_id": 1, "frame_id": None},
    ],
    "run_review": [
        {"job_id": 1, "verdict": "review", "reasons": "rough", "figures": {"complete": 0.5}, "picture": D,
         "reviewed_at": WHEN},
    ],
    "release": [
        {"id": 1, "name": "faces", "version": 1, "state": "complete", "schema_version": 1, "problem": None,
         "consent_day": date(2026, 2, 1), "criteria": {"all": True}, "manifest_sha256": D, "started_at": WHEN,
         "finished_at": WHEN},
    ],
    "release_item": [
        {"id": 1, "release_id": 1, "subject_id": 1, "take_id": 1, "photographs": True, "publishable": False,
         "withdrawn_at": WHEN, "mosaicked": True, "label": "2_smile"},
    ],
    "release_model": [{"release_id": 1, "model_id": 1}],
    "learned_weights": [
        {"id": 1, "kind": "regressor", "sha256": D, "release_id": 1, "model_id": 1, "card": {"kind": "regressor"},
         "created_at": WHEN, "marked_at": WHEN},
    ],
    "learned_weights_subject": [{"learned_id": 1, "subject_id": 1, "pictured": True, "left_at": WHEN, "why": "take"}],
    "recipient": [
        {"id": n, "institution": name, "contact": sealed, "created_at": WHEN, "forgotten_at": when}
        for n, name, sealed, when in ((1, "University of Ä", "gAAAA", None), (2, None, None, WHEN))
    ],
    "signed_licence": [
        {"id": 1, "recipient_id": 1, "release_name": "faces", "text_sha256": A, "text_version": "2026-01",
         "document_sha256": B, "signed_on": date(2026, 2, 1), "accepted_by": "tester", "accepted_at": WHEN},
    ],
    "release_grant": [
        {"id": n, "recipient_id": 1, "release_name": "faces", "first_version": 1, "last_version": last,
         "kinds": "mesh,scan", "token_sha256": key, "issued_at": WHEN, "expires_at": WHEN, "revoked_at": revoked}
        for n, last, key, revoked in ((1, None, C, None), (2, 3, D, WHEN))
    ],
    "release_fetch": [
        {"id": 1, "grant_id": 1, "release_id": 1, "way": "server", "first_at": WHEN, "last_at": WHEN,
         "bytes_sent": 10**13, "files": 2, "files_wanted": 9, "complete_at": None, "network": "2001:db8:1::/48",
         "agent": "curl/8.0", "delivered": b"\x05\x00", "begun": {"7": [[0, 10**10]]}},
        {"id": 2, "grant_id": 2, "release_id": 1, "way": "handed", "first_at": WHEN, "last_at": WHEN,
         "bytes_sent": 0, "files": 0, "files_wanted": 0, "complete_at": WHEN, "network": None,
         "agent": None, "delivered": None, "begun": None},
    ],
    "release_notice": [
        {"id": 1, "recipient_id": 1, "release_name": "faces", "owed_sha256": A, "written_at": WHEN, "sent_at": WHEN,
         "confirmed_at": None},
    ],
    "erasure": [
        {"id": 1, "subject_id": 2, "started_at": WHEN, "finished_at": WHEN, "files": 3, "bytes": 10**12, "shared": 1,
         "absent": 0}
    ],
    "take_withdrawal": [{"take_id": 2, "withdrawn_at": WHEN, "erasure_id": 1}],
    "account": [
        {"id": n, "name": name, "role": "manager", "password": password, "handle": name * 9, "created_at": WHEN,
         "disabled_at": disabled}
        for n, name, password, disabled in ((1, "anna", "$argon2id$", None), (2, "bert", None, WHEN))
    ],
    "passkey": [
        {"id": 1, "account_id": 1, "credential": "c" * 1400, "public_key": b"\xa5\x01", "sign_count": 2**32 - 1,
         "host": "localhost", "label": "key ring", "created_at": WHEN, "last_used_at": None},
    ],
    "console_session": [
        {"id": n, "account_id": account, "opened_by": "anna", "token_sha256": key, "created_at": WHEN,
         "last_seen_at": WHEN, "ends_at": WHEN, "idle_s": 3600, "ended_at": ended}
        for n, account, key, ended in ((1, 1, A, WHEN), (2, None, B, None))
    ],
    "one_time_link": [
        {"id": 1, "token_sha256": C, "kind": "screen", "account_id": None, "role": "screen", "created_by": "anna",
         "created_at": WHEN, "expires_at": WHEN, "used_at": None},
    ],
    "audit_event": audit_rows(),
}  # fmt: skip


@pytest.fixture
def empty(empty_database_url: str) -> Any:
    engine = open_database(empty_database_url)
    yield engine
    engine.dispose()


def tables_of(engine: Engine) -> dict[str, Table]:
    found = MetaData()
    found.reflect(engine)
    return {name: table for name, table in found.tables.items() if name != "alembic_version"}


def fill(engine: Engine) -> dict[str, Table]:
    """All rows into the tables that there are. They are returned: to look at a schema costs more than its rows."""
    tables = tables_of(engine)
    with engine.begin() as connection:
        for name, rows in ROWS.items():
            if name in tables:
                there = set(tables[name].columns.keys())
                connection.execute(insert(tables[name]), [{k: v for k, v in row.items() if k in there} for row in rows])
    return tables


def read(engine: Engine, tables: dict[str, Table], columns: dict[str, set[str]] | None = None) -> Rows:
    """All rows, with those columns alone where they are given; times as aware UTC."""
    found: Rows = {}
    with engine.connect() as connection:
        for name, table in tables.items():
            if columns is not None and name not in columns:
                continue
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            wanted = columns[name] if columns is not None else set(table.columns.keys())
            found[name] = [{key: plain(value) for key, value in row.items() if key in wanted} for row in rows]
    return found


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def wanted(columns: dict[str, set[str]]) -> Rows:
    return {
        name: [{k: v for k, v in row.items() if k in columns[name]} for row in ROWS[name]]
        for name in columns
        if name in ROWS
    }


def columns_of(tables: dict[str, Table]) -> dict[str, set[str]]:
    return {name: set(table.columns.keys()) for name, table in tables.items()}


def test_the_rows_here_fill_every_table() -> None:
    journal = {"erasure_file"}  # empty unless an erasure is under way
    assert set(ROWS) == set(Base.metadata.tables) - journal
    for name, rows in ROWS.items():
        assert all(set(row) == set(Base.metadata.tables[name].columns.keys()) for row in rows), name


@pytest.mark.parametrize("revision", FROM)
def test_rows_of_every_revision_go_up_and_come_back(empty: Engine, revision: str) -> None:
    upgrade(empty, revision)
    tables = fill(empty)
    columns, before = columns_of(tables), read(empty, tables)
    assert {name: rows for name, rows in before.items() if rows} == wanted(columns)
    upgrade(empty)
    assert read(empty, tables_of(empty), columns) == before
    with reading(empty) as tx:
        report = audit_log.verify_chain(tx)
        assert (report.entries, report.broken) == (3, None)
        assert report.head == ROWS["audit_event"][-1]["sha256"]  # what the migration wrote is what Mien writes
    downgrade(empty, revision)
    tables = tables_of(empty)
    assert columns_of(tables) == columns
    assert read(empty, tables) == before


def test_the_newest_rows_go_down_step_by_step_and_up_again(empty: Engine) -> None:
    upgrade(empty)
    fill(empty)
    for revision in REVISIONS[-2::-1]:
        downgrade(empty, revision)
        tables = tables_of(empty)
        columns = columns_of(tables)
        left = {name: rows for name, rows in read(empty, tables).items() if name in ROWS}
        assert left == wanted(columns), revision
    upgrade(empty)
    assert read(empty, tables_of(empty), columns) == wanted(columns)


def test_what_an_older_schema_cannot_say_is_given_up_on_the_safe_side(empty: Engine) -> None:
    """Pictures with mosaicked eyes: the older schema would show the eyes, so the consent for pictures goes too."""
    upgrade(empty)
    tables = fill(empty)
    mosaic = ROWS["consent"][0] | {"id": 3, "scope": "eyes_mosaicked"}
    pictures = ROWS["consent"][0] | {"id": 4, "scope": "publication"}
    with empty.begin() as connection:
        connection.execute(insert(tables["consent"]), [mosaic, pictures])
    downgrade(empty, "0009")
    consent = tables_of(empty)["consent"]
    with empty.connect() as connection:
        open_scopes = connection.scalars(select(consent.c.scope).where(consent.c.withdrawn_at.is_(None)))
        assert list(open_scopes) == ["research_release"]
        assert connection.scalar(select(func.count()).select_from(consent)) == 3


def test_runs_of_subjects_keep_their_lineage_in_an_older_schema_and_are_not_asked_for(empty: Engine) -> None:
    upgrade(empty)
    tables = fill(empty)
    rig = ROWS["job"][0] | {"id": 3, "key": "e" * 64, "take_id": None}
    waiting = rig | {"id": 4, "key": "f" * 64, "state": "queued"}
    read_by = [{"name": "meshes", "sha256": None, "from_job_id": 1, "from_output": "mesh"} | more for more in (
        {"id": 3, "job_id": 3, "label": "1_neutral"}, {"id": 4, "job_id": 3, "label": "2_smile"},
        {"id": 5, "job_id": 4, "label": "1_neutral"})]  # fmt: skip
    model = ROWS["consent"][0] | {"id": 3, "scope": "statistical_model"}
    with empty.begin() as connection:
        connection.execute(insert(tables["job"]), [rig, waiting])
        connection.execute(insert(tables["job_subject"]), [{"job_id": n, "subject_id": 1} for n in (3, 4)])
        connection.execute(insert(tables["job_input"]), read_by)
        connection.execute(insert(tables["consent"]), [model])
    downgrade(empty, "0021")
    older = tables_of(empty)
    with empty.connect() as connection:
        assert list(connection.scalars(select(older["job"].c.id).order_by(older["job"].c.id))) == [1, 2, 3]
        parents = select(older["job_input"].c.from_job_id).where(older["job_input"].c.job_id == 3)
        assert list(connection.scalars(parents)) == [1, 1]
        assert connection.scalar(select(func.count()).select_from(older["consent"])) == 2
    upgrade(empty)


def test_a_withdrawn_take_stands_for_nothing_in_an_older_schema(empty: Engine) -> None:
    upgrade(empty)
    tables = fill(empty)
    with empty.begin() as connection:
        connection.execute(update(tables["take"]).values(state="accepted").where(tables["take"].c.id == 1))
        connection.execute(update(tables["take_withdrawal"]).values(take_id=1))
        connection.execute(update(tables["erasure"]).values(finished_at=None))
    with pytest.raises(RuntimeError, match="finish it"):
        downgrade(empty, "0015")
    with empty.begin() as connection:
        connection.execute(update(tables["erasure"]).values(finished_at=WHEN))
    downgrade(empty, "0015")
    with empty.connect() as connection:
        assert set(connection.scalars(select(tables["take"].c.state))) == {"superseded"}


def test_what_left_with_covered_eyes_is_known_after_the_upgrade(empty: Engine) -> None:
    """By the consents of its time: given before the release was finished, and not withdrawn by then."""
    earlier, later = WHEN.replace(year=2025), WHEN.replace(year=2027)
    upgrade(empty, "0015")
    consent = fill(empty)["consent"]
    for recorded_at, withdrawn_at, covered in (
        (earlier, None, True), (earlier, later, True), (later, None, False), (earlier, earlier, False)
    ):  # fmt: skip
        row = ROWS["consent"][0] | {"id": 9, "scope": "eyes_mosaicked", "recorded_at": recorded_at}
        with empty.begin() as connection:
            connection.execute(insert(consent), [row | {"withdrawn_at": withdrawn_at}])
        upgrade(empty)
        items = tables_of(empty)["release_item"]
        with empty.begin() as connection:
            (item,) = connection.execute(select(items.c.mosaicked, items.c.label))
            assert item[0] is covered
            assert item[1].partition("_")[0].isdecimal()
            connection.execute(consent.delete().where(consent.c.id == 9))
        downgrade(empty, "0015")


def test_an_unfinished_erasure_is_not_forgotten(empty: Engine) -> None:
    upgrade(empty)
    journal = fill(empty)["erasure_file"]
    with empty.begin() as connection:
        connection.execute(insert(journal), [{"erasure_id": 1, "sha256": A}])
    with pytest.raises(RuntimeError, match="finish it"):
        downgrade(empty, "0009")
    assert json.dumps(sorted(tables_of(empty))) == json.dumps(sorted(Base.metadata.tables))
