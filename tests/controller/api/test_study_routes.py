"""Subjects, farm, artefacts and releases over the API: what they tell, and what a withdrawal takes away at once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import until
from records_home import RecordsWriter, make_home, opened, picture, served, token

from controller.study import stage_outputs
from db.captures import get_take
from db.engine import transaction
from db.models import ConsentScope, JobState
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import get_job
from db.subjects import get_subject, withdraw_consent
from processing.stages import outputs
from processing.stages.blendshapes import Blendshapes

FORM = hashlib.sha256(b"a signed form").hexdigest()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(writer, client) over a studio with a console."""
    home = make_home(tmp_path_factory.mktemp("study") / "home")
    with (
        opened(home) as made,
        served(made, home) as url,
        httpx.Client(base_url=url, headers=token(home), timeout=30) as client,
    ):
        yield RecordsWriter(made), client


@pytest.fixture(scope="module")
def made(studio: Any) -> dict[str, str]:
    """A subject with a closed session: two takes processed, one with a run that failed."""
    writer, _ = studio
    subject = writer.subject(ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
    session = writer.session(subject)
    writer.processed(f"{session}-E01-1")
    writer.processed(f"{session}-E02-1", verdict="redo")
    key = writer.failed(f"{session}-E03-1", "reconstruct", "ReconstructionError: no depth in 12 of 12 views")
    return {"subject": subject, "session": session, "key": key}


def withdraw(writer: RecordsWriter, subject: str) -> None:
    with transaction(writer.engine) as tx:
        withdraw_consent(tx, get_subject(tx, subject))


def test_the_names_of_stages_are_those_of_the_farm() -> None:
    known = {outputs.SCAN, outputs.MESH, outputs.TEXTURE, outputs.DISPLACEMENT}
    assert set(stage_outputs.MODELS.values()) == known
    assert stage_outputs.RIG_PICTURE == outputs.RIG_PICTURE
    assert stage_outputs.RIG[1] in Blendshapes.makes
    assert stage_outputs.RIG[0] == Blendshapes.name
    of_takes = {name: caption for name, caption in outputs.CAPTIONS.items() if name != outputs.RIG_PICTURE}
    assert of_takes.keys() | {outputs.MESH_PICTURE} == set(stage_outputs.PICTURES)
    for name, caption in of_takes.items():
        assert stage_outputs.PICTURES[name] == caption


def test_a_subject_is_told_by_code_and_age_and_consent(studio: Any, made: dict[str, str]) -> None:
    _, client = studio
    subjects = {one["code"]: one for one in client.get("/api/subjects").json()["subjects"]}
    one = subjects[made["subject"]]
    assert one.keys() == {"code", "age", "standing", "consents", "sessions"}
    assert (one["age"], one["standing"], one["sessions"]) == (30, "given", [made["session"]])
    assert [consent["scope"] for consent in one["consents"]] == ["research_release", "publication"]


def test_a_consent_is_recorded_by_the_rules_of_the_command(studio: Any) -> None:
    _, client = studio
    code = client.post("/api/subjects", json={"age": 40, "gender": "female"}).json()["subject"]
    body = {"scopes": ["publication"], "given_on": "2026-02-03", "document_sha256": FORM, "form_version": "2026-01"}
    future = client.post(f"/api/subjects/{code}/consents", json=body | {"given_on": "2999-01-01"})
    assert (future.status_code, future.json()["exit_code"]) == (422, 4)
    assert "is in the future" in future.json()["error"]
    assert "not a SHA-256" in client.post(f"/api/subjects/{code}/consents", json=body | {"document_sha256": "x"}).text
    assert (
        "which text was signed" in client.post(f"/api/subjects/{code}/consents", json=body | {"form_version": ""}).text
    )
    assert client.post(f"/api/subjects/{code}/consents", json=body).status_code == 200
    again = client.post(f"/api/subjects/{code}/consents", json=body)
    assert "has an open consent for publication" in again.json()["error"]
    child = client.post("/api/subjects/consenting", json={"age": 9, "consent": body | {"scopes": ["research_release"]}})
    assert "This signed form is" in child.json()["error"] or "a guardian's consent is needed" in child.json()["error"]
    assert client.post("/api/subjects", json={"age": 200}).json()["error"] == "age 200 is outside 0..120"


def test_the_farm_tells_what_is_done_what_failed_and_why(studio: Any, made: dict[str, str]) -> None:
    writer, client = studio
    told = client.get("/api/farm").json()
    assert told["counts"]["done"] == 12
    assert told["counts"]["failed"] == 1
    assert list(told["stages"]) == list(stage_outputs.STAGES)
    assert told["verdicts"] == {"accept": 3, "redo": 1}
    trouble = next(one for one in told["troubles"] if one["key"] == made["key"])
    assert trouble["label"] == f"{made['subject']} 3_mouth_stretch"
    assert trouble["reason"] == "ReconstructionError: no depth in 12 of 12 views"
    log = client.get(f"/api/farm/runs/{made['key']}").json()
    assert log["error"].startswith("Traceback")
    assert f"reconstruct of {made['session']}-E03-1" in log["log"]
    takes = {take["take"]: take for take in told["takes"]}
    smile = takes[f"{made['session']}-E02-1"]
    assert [run["verdict"] for run in smile["runs"] if run["stage"] == "reconstruct"] == ["redo"]
    assert "preview.textured" in [one["name"] for one in smile["pictures"]]
    assert client.get("/api/farm/runs/../../etc").status_code == 404
    unknown = client.post("/api/farm/retry", json={"keys": ["beef"]})
    assert "No run has a key that begins with beef" in unknown.json()["error"]
    assert client.post("/api/farm/retry", json={"keys": [made["key"][:12]]}).json() == {"retried": 1}
    with transaction(writer.engine) as tx:
        assert get_job(tx, made["key"]).state is JobState.QUEUED


def test_a_file_is_served_in_pieces_and_asked_for_again(studio: Any, made: dict[str, str]) -> None:
    _, client = studio
    takes = client.get(f"/api/artefacts/of/{made['session']}").json()["takes"]
    models = takes[0]["models"]
    assert models.keys() == {"scan", "mesh", "texture", "displacement", "template"}
    scan = client.get(f"/api/artefacts/{models['scan']['sha256']}")
    assert hashlib.sha256(scan.content).hexdigest() == models["scan"]["sha256"]
    assert len(scan.content) == models["scan"]["bytes"]
    assert scan.headers["cache-control"] == "private, no-cache"
    part = client.get(f"/api/artefacts/{models['scan']['sha256']}", headers={"Range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"ply")
    known = {"If-None-Match": scan.headers["etag"]}
    assert client.get(f"/api/artefacts/{models['scan']['sha256']}", headers=known).status_code == 304
    assert client.get(f"/api/artefacts/{models['template']['sha256']}").status_code == 200
    assert client.get(f"/api/artefacts/{'0' * 64}").status_code == 404
    assert client.get("/api/artefacts/..%2f..%2fstudio.sqlite").status_code in (400, 404, 422)


def test_a_rig_is_told_with_the_maps_that_it_was_made_of_until_a_withdrawal(studio: Any, tmp_path: Path) -> None:
    writer, client = studio
    subject = writer.subject()
    session = writer.session(subject, accepted=2)
    takes = [f"{session}-E01-1", f"{session}-E02-1"]
    for take in takes:
        writer.processed(take)
    assert client.get(f"/api/artefacts/rig/{session}").json() == {"session": session, "rig": None}
    (tmp_path / "rig.npz").write_bytes(f"of {session}".encode())
    file = OutputFile("rig", writer.store.put_file(tmp_path / "rig.npz"), 9, "application/x-npz")
    writer.rig(session, takes, made=file)
    told = client.get(f"/api/artefacts/rig/{session}").json()
    assert told["subject"] == subject
    assert told["rig"] == {"sha256": file.sha256, "bytes": 9}
    assert list(told["maps"]) == ["1_neutral", "2_smile"]
    assert told["template"]["sha256"] == writer.files["template"].sha256
    assert told["texture"]["sha256"] == writer.files["texture.texture"].sha256
    assert client.get(f"/api/artefacts/{file.sha256}").content == f"of {session}".encode()
    withdraw(writer, subject)
    assert client.get(f"/api/artefacts/rig/{session}").json() == {"session": session, "rig": None}
    assert client.get(f"/api/artefacts/{file.sha256}").status_code == 410
    assert "No session S999-1" in client.get("/api/artefacts/rig/S999-1").json()["error"]


def test_a_photograph_is_no_artefact(studio: Any, made: dict[str, str]) -> None:
    writer, client = studio
    with transaction(writer.engine) as tx:
        frame = get_take(tx, f"{made['session']}-E01-1").frames[0].sha256
    assert client.get(f"/api/artefacts/{frame}").status_code == 404


def test_after_a_withdrawal_nothing_of_it_is_told_or_served(studio: Any) -> None:
    writer, client = studio
    subject = writer.subject()
    session = writer.session(subject, accepted=1)
    writer.processed(f"{session}-E01-1")
    own = hashlib.sha256(picture(f"{session}-E01-1 preview.heat")).hexdigest()
    etag = client.get(f"/api/artefacts/{own}").headers["etag"]
    withdraw(writer, subject)
    gone = client.get(f"/api/artefacts/{own}", headers={"If-None-Match": etag})
    assert gone.status_code == 410
    assert gone.headers["cache-control"] == "no-store"
    take = client.get(f"/api/artefacts/of/{session}").json()["takes"][0]
    assert (take["shown"], take["models"], take["pictures"]) == (False, {}, [])
    farm = {one["take"]: one for one in client.get("/api/farm").json()["takes"]}
    assert farm[take["take"]]["pictures"] == []
    assert client.get(f"/api/sessions/{session}/pictures").json()["pictures"] == {}
    assert {one["session"]: one["shown"] for one in client.get("/api/artefacts").json()["sessions"]}[session] is False


def test_a_file_that_serves_two_takes_stands_as_long_as_one_of_them_does(studio: Any) -> None:
    writer, client = studio
    first, second = writer.subject(), writer.subject()
    for subject in (first, second):
        writer.processed(f"{writer.session(subject, accepted=1)}-E01-1", ("reconstruct",))
    shared = writer.files["reconstruct.scan"].sha256
    withdraw(writer, first)
    assert client.get(f"/api/artefacts/{shared}").status_code == 200


def test_what_may_leave_and_what_holds_back(studio: Any, made: dict[str, str]) -> None:
    _, client = studio
    told = client.get("/api/release").json()
    row = next(one for one in told["coverage"]["subjects"] if one["code"] == made["subject"])
    assert row["cells"][:2] == ["ready", "redo"]
    assert row["cells"][2] in ("failed", "working")
    assert (row["leaves"], row["pictures"]) == (1, "yes")
    assert "the verdict is to do it again: 2_smile" in row["holds"]
    assert told["holds"]["the verdict is to do it again"] >= 1
    assert told["releases"] == []


@pytest.mark.slow
def test_the_rules_of_a_release_are_asked_beside_the_studio(studio: Any, made: dict[str, str]) -> None:
    writer, client = studio
    bad = client.post("/api/release/proposal", json={"name": "--out=/tmp/x"})
    assert bad.status_code == 422
    session = writer.studio.records.start_session(writer.subject(), "short", None)
    busy = client.post("/api/release/proposal", json={"name": "faces"})
    assert "the rules are asked when nobody sits there" in busy.json()["error"]
    writer.studio.pause_session(session)
    assert client.post("/api/release/proposal", json={"name": "faces"}).json()["proposal"]["state"] == "running"
    told = until(lambda: (p := client.get("/api/release/proposal").json()["proposal"])["state"] != "running" and p)
    assert (told["state"], told["told"]) == ("done", "")
    row = next(one for one in told["subjects"] if one["code"] == made["subject"])
    assert row["decision"] == "leave_out"  # an egg's runs have no cameras: more than the records tell
    assert row["left_out"] or row["why"]


def test_a_start_tells_what_lacks_before_it_is_asked_for(studio: Any) -> None:
    _, client = studio
    told = client.get("/api/sessions/start").json()
    assert told["open"] is None
    assert {"cameras", "calibration"} <= told["lacking"].keys()
    assert ("short", 1, 3) in [(one["name"], one["version"], one["expressions"]) for one in told["protocols"]]
    assert client.get("/api/sessions/start?profile=none").json()["exit_code"] == 2


def test_a_subjects_rig_is_told_and_shown_while_consent_stands(studio: Any) -> None:
    writer, client = studio
    subject = writer.subject()
    session = writer.session(subject, accepted=2)
    takes = [f"{session}-E0{position}-1" for position in (1, 2)]
    assert client.get(f"/api/subjects/{subject}/rig").json() == {"rig": None}
    for take in takes:
        writer.processed(take)
    sheet = writer.rig(session, takes, verdict="review")
    rig = client.get(f"/api/subjects/{subject}/rig").json()["rig"]
    assert (rig["session"], rig["takes"], rig["stands"]) == (session, ["1_neutral", "2_smile"], True)
    assert (rig["state"], rig["verdict"], rig["picture"]) == ("done", "review", sheet)
    assert client.get(f"/api/artefacts/{sheet}").status_code == 200
    withdraw(writer, subject)
    assert client.get(f"/api/subjects/{subject}/rig").json()["rig"]["picture"] is None
    assert client.get(f"/api/artefacts/{sheet}").status_code == 410
    assert "No subject S999" in client.get("/api/subjects/S999/rig").json()["error"]


def test_nobody_without_the_token_is_told_anything(studio: Any) -> None:
    _, client = studio
    for path in ("/api/subjects", "/api/farm", "/api/artefacts", "/api/release", f"/api/artefacts/{'0' * 64}"):
        assert httpx.get(f"{client.base_url}{path}").status_code == 401
