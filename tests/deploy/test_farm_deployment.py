"""The farm on several machines as deploy/ offers it: compose.yaml by the commands that exist, Slurm by a stand-in."""

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import Patience, run_patiently

import mien
from deploy.slurm import SlurmRequest, make_cluster
from processing.farm.tls import issue

DEPLOY = Path(mien.__file__).parent / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

SBATCH = """#!/bin/sh
# Stands in for Slurm: the job runs here, in a session of its own.
setsid bash "$1" > "$1.log" 2>&1 &
echo "$!" >> {jobs}
cp "$1" {scripts}/$!.sh
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job; do kill -TERM "$job" 2> /dev/null; done
exit 0
"""


def commands() -> list[tuple[str, list[str]]]:
    """What each of our services runs, and what the set-up says."""
    found = [(name, s["command"]) for name, s in SERVICES.items() if s["image"] == "mien" and "entrypoint" not in s]
    script = SERVICES["setup"]["command"][0]
    return found + [("setup", shlex.split(line)) for line in re.findall(r"\bmien ((?:db|farm) [a-z]+)", script)]


def test_compose_has_every_role_and_each_waits_for_what_it_needs() -> None:
    assert set(SERVICES) == {"postgres", "setup", "scheduler", "worker", "farm", "studio", "prometheus", "grafana"}
    for name, service in SERVICES.items():
        for other in service.get("depends_on", []):
            assert other in SERVICES, f"{name} waits for {other}"
    for name in ("setup", "farm", "studio"):
        assert SERVICES[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "healthcheck" in SERVICES["postgres"]


@pytest.mark.parametrize(("service", "command"), commands(), ids=lambda given: given if isinstance(given, str) else "")
def test_a_service_runs_a_command_that_exists_with_options_that_it_has(service: str, command: list[str]) -> None:
    group, name, *arguments = command
    command = [sys.executable, "-m", "mien", group, name, "--help"]
    answer = run_patiently(command, env=os.environ | {"COLUMNS": "200"})
    assert answer.returncode == 0, f"{service}: {answer.stderr}"
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in answer.stdout


def test_no_secret_is_written_into_compose_and_workers_get_none() -> None:
    for name, service in SERVICES.items():
        for key, value in service["environment"].items():
            if "PASSWORD" in key:
                assert value.startswith("${MIEN_DB_PASSWORD:?"), name
    for name in ("scheduler", "worker"):  # they run code for others, and need no database and no authority
        assert SERVICES[name]["environment"] == {}
        assert not any(volume.endswith(":/srv/mien") for volume in SERVICES[name]["volumes"])


def test_who_is_drained_is_given_the_time_for_it() -> None:
    assert (SERVICES["worker"]["stop_signal"], SERVICES["worker"]["stop_grace_period"]) == ("SIGTERM", "2h")
    unit = (DEPLOY / "systemd" / "mien-farm-worker@.service").read_text()
    for line in ("KillSignal=SIGTERM", "KillMode=mixed", "TimeoutStopSec=2h"):
        assert f"\n{line}\n" in unit


def test_a_slurm_job_says_what_it_asks_for_and_runs_the_farms_worker(tmp_path: Path) -> None:
    tls = str(issue(tmp_path / "keys", "slurm"))
    lease = SlurmRequest(
        8, 32, "04:00:00", runs=2, gpus=1, partition="gpu", account="faces", extra=("--constraint=ib",)
    )
    with make_cluster(lease, tls, tmp_path / "logs", host="127.0.0.1", port=0) as cluster:
        script = cluster.job_script()
    options = set(re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE))
    wanted = {"--cpus-per-task=8", "-t 04:00:00", "-p gpu", "-A faces", "--gres=gpu:1", "--constraint=ib"}
    assert wanted | {"--signal=B:TERM@600"} <= options
    command = shlex.split(script.strip().splitlines()[-1])
    assert command[:6] == ["exec", sys.executable, "-m", "mien", "farm", "worker"]
    assert command[6].startswith("tls://127.0.0.1:")
    assert command[-8:] == ["--threads", "2", "--memory", "28.8", "--gpus", "1", "--tls", tls]


@pytest.mark.slow
def test_slurm_jobs_do_the_farms_work(tmp_path: Path, farm_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch and scancel stand in for Slurm; scheduler, workers and daemon are the real ones."""
    programs, scripts = tmp_path / "bin", tmp_path / "scripts"
    scripts.mkdir()
    programs.mkdir()
    for name, text in (("sbatch", SBATCH.format(jobs=tmp_path / "jobs", scripts=scripts)), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    tls = issue(tmp_path / "keys", "slurm")
    command = [
        sys.executable, "-m", "deploy.slurm", "--jobs", "2", "--cores", "1", "--memory", "4", "--until-idle",
        "--home", str(farm_home), "--tls", str(tls), "--logs", str(tmp_path / "logs"),
    ]  # fmt: skip
    done = run_patiently(command, cwd=DEPLOY.parent)
    assert done.returncode == 0, done.stderr
    assert "9 of 9 are done" in done.stdout
    jobs = (tmp_path / "jobs").read_text().split()
    assert 1 <= len(jobs) <= 2
    patience = Patience(30)
    while any(Path(f"/proc/{job}").exists() for job in jobs) and patience.sleep():
        pass
    for job in jobs:  # scancel reached them
        assert not Path(f"/proc/{job}").exists() or os.kill(int(job), signal.SIGKILL)


@pytest.fixture
def farm_home(tmp_path: Path, studio_rows: Any, sqlite_template: Path) -> Path:
    """A home with a closed session of three takes, and the farm's toy stages for its stages."""
    import shutil

    from db import captures
    from db.engine import open_database, transaction
    from db.rigs import rig_records
    from db.store import Store

    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "studio.sqlite")
    (home / "template.npz").write_text("a template")
    toys = Path(__file__).parent.parent / "farm" / "toy_stages"
    (home / "studio.toml").write_text(f"[farm]\nstages = [{json.dumps(str(toys))}]\npoll_s = 0.5\ndisk_floor_gb = 0\n")
    engine = open_database(f"sqlite:///{home / 'studio.sqlite'}")
    store = Store(home / "store")
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        session.calibration = rig_records.add_calibration(tx, rig, "made up", {"0_K": [[1.0]]})
        for name in ("neutral", "smile", "mouth_stretch"):
            photographs = [(store.put_bytes(f"{name} {view}".encode()), len(f"{name} {view}")) for view in range(3)]
            studio_rows.accepted(tx, session, rig, name, photographs)
        captures.close_session(tx, session, incomplete=True)
    engine.dispose()
    return home
