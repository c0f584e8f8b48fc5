"""A report survives its file, its figures are what was seen, and it extends the operator's table of camera models."""

import importlib.util
import json
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_nodes.camera_models.models import BodyModel, BodyModels, built_in
from camera_nodes.errors import BadSettings
from camera_nodes.qualification.model_proposal import extend, proposed
from camera_nodes.qualification.report import QualificationReport, encode, order_of, read_report, spread
from camera_nodes.qualification.verdict import MAX_LAG_SIGMA_MS, decide_fitness, is_raw_alone

_spec = importlib.util.spec_from_file_location("scripted_body", Path(__file__).with_name("scripted_body.py"))
scripted_body = importlib.util.module_from_spec(_spec)
sys.modules["scripted_body"] = scripted_body
_spec.loader.exec_module(scripted_body)
Habits, ScriptedBody, Talk, run = (
    scripted_body.Habits,
    scripted_body.ScriptedBody,
    scripted_body.Talk,
    scripted_body.run,
)


def test_a_report_survives_its_file(tmp_path):
    report = run(Habits(raw="last", twice=(2,)), shots=5)
    file = tmp_path / "r.json"
    file.write_bytes(encode(report))
    assert read_report(file) == report
    assert json.loads(file.read_bytes())["form"] == 1


def test_the_form_of_a_report_stays():
    """Whoever changes a field gives the form another number, and says how older reports are read."""
    fields = set(msgspec.structs.asdict(run(shots=1)))
    assert fields == {
        "form", "made_at", "mien", "library", "address", "release", "model", "serial", "firmware", "table", "finished",
        "target", "stores", "formats", "settles", "times", "exposures", "events", "busy_answers", "busy_longest_s",
        "faults", "lag", "deletion", "recoveries", "clock", "battery_percent", "photos_left", "verdict", "reasons",
    }  # fmt: skip


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[1]", b'{"form":2}', b"\xff", b'{"form":1,"made_at":"x","unknown":1}', b" " * (9 << 20)]
)
def test_what_is_no_report_is_refused(tmp_path, data):
    file = tmp_path / "r.json"
    file.write_bytes(data)
    with pytest.raises(BadSettings, match=r"r\.json"):
        read_report(file)
    with pytest.raises(BadSettings, match="cannot be read"):
        read_report(tmp_path / "none.json")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_a_spread_is_ordered_and_every_percentile_was_seen(values):
    found = spread(values)
    figures = [found.least, found.median, found.p90, found.p99, found.most]
    assert figures == sorted(figures)
    assert {found.least, found.median, found.p90, found.p99, found.most} <= {round(v, 4) for v in values}
    assert found.count == len(values)
    assert found.least - 1e-3 <= found.mean <= found.most + 1e-3
    assert spread([]) is None


@given(st.lists(st.sampled_from(["raw", "jpeg"]), max_size=20))
def test_an_order_is_named_only_where_it_is_always_so(seen):
    order = order_of(seen)
    assert (order == "raw_first") == (set(seen) == {"raw"})
    assert (order == "either") == (len(set(seen)) == 2)


@given(sigma=st.floats(0, 10), without=st.integers(0, 3), remark=st.booleans())
def test_the_verdict_follows_from_the_reasons(sigma, without, remark):
    base = run_once()
    lag = msgspec.structs.replace(base.lag, ms=msgspec.structs.replace(base.lag.ms, sigma=sigma))
    shots = msgspec.structs.replace(base.exposures, without=without)
    report = msgspec.structs.replace(base, lag=lag, exposures=shots, photos_left=None if remark else 100)
    verdict, found = decide_fitness(report, BodyModel())
    assert (verdict == "unfit") == (without > 0) == any(reason.unfit for reason in found)
    assert (verdict == "fit") == (not without and not remark and sigma <= MAX_LAG_SIGMA_MS)
    assert [reason.unfit for reason in found] == sorted((reason.unfit for reason in found), reverse=True)


_once: list[QualificationReport] = []


def run_once() -> QualificationReport:
    if not _once:
        _once.append(run(Habits(lag_ms=(50.0,)), shots=20))
    return _once[0]


@pytest.mark.parametrize(
    ("text", "alone"),
    [("RAW", True), ("NEF (Raw)", True), ("cRAW", True), ("RAW + Large Fine JPEG", False), ("NEF+Fine", False),
     ("Large Fine JPEG", False), ("", False)],
)  # fmt: skip
def test_raw_files_alone_are_told_from_raw_and_jpeg(text, alone):
    assert is_raw_alone(text) is alone


# --- what extends the table


def test_a_report_extends_the_operators_file_and_only_its_own_entry(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('# ours\n[[body]]\nname = "D850"\nfile_s = 9.0  # as measured in spring\n')
    report = run(Habits(raw="first", refuses_deletion=True), shots=3)
    for _ in range(2):
        extend(file, report)
    text = file.read_text()
    assert text.startswith('# ours\n[[body]]\nname = "D850"\nfile_s = 9.0  # as measured in spring\n')
    assert text.count("[[body]]") == 2
    found = built_in().with_file(file).find(report.model)
    assert (found.order, found.deletes, found.entries) == ("raw_first", False, (report.model,))
    assert "3 exposures" not in found.notes or found.notes.startswith("Measured here on ")


@given(model=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_model_name_can_be_written_and_is_found_again(tmp_path_factory, model):
    if not model.strip():
        return
    report = msgspec.structs.replace(run_once(), model=model)
    file = tmp_path_factory.mktemp("own") / "own.toml"
    extend(file, report)
    assert model in BodyModels().with_file(file).find(model).entries


def test_what_is_proposed_leaves_room_and_is_never_less_than_any_body_gets():
    slow = msgspec.structs.replace(
        run_once(), times=msgspec.structs.replace(run_once().times, file_ms=spread([100.0, 40_000.0]))
    )
    assert proposed(slow)["file_s"] == 80.0
    assert "file_s" not in proposed(run_once())


def test_a_file_that_is_no_table_is_left_as_it_is(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[[body]\n")
    with pytest.raises(BadSettings):
        extend(file, run_once())
    assert file.read_text() == "[[body]\n"
