"""A farm takes in those whom its own authority has signed, and nobody else."""

import stat
from pathlib import Path
from typing import Any

import pytest

from db.errors import SettingsError
from processing.farm.execution.dask_cluster import RemoteWorkers, SchedulerUnreachable
from processing.farm.execution.services import OfferedResources, run_scheduler, run_worker
from processing.farm.settings import FarmSettings
from processing.farm.tls import address, credentials, issue, own, security


def test_certificates_are_signed_by_one_authority_and_kept_to_their_owner(tmp_path: Path) -> None:
    from cryptography import x509

    one, two = issue(tmp_path / "farm", "gpu-1"), issue(tmp_path / "farm", "gpu-2")
    authority = x509.load_pem_x509_certificate((tmp_path / "farm" / "ca.pem").read_bytes())
    for place in (one, two):
        certificate = x509.load_pem_x509_certificate((place / "cert.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        assert (place / "ca.pem").read_bytes() == (tmp_path / "farm" / "ca.pem").read_bytes()
        assert stat.S_IMODE((place / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "farm" / "ca-key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "farm").stat().st_mode) == 0o700
    with pytest.raises(SettingsError, match="has a certificate already"):
        issue(tmp_path / "farm", "gpu-1")
    with pytest.raises(SettingsError, match="cannot name a machine"):
        issue(tmp_path / "farm", "../gpu")


def test_a_folder_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    place = issue(tmp_path, "gpu-1")
    (place / "key.pem").unlink()
    with pytest.raises(SettingsError, match=r"lacks key\.pem"):
        security(place)
    assert security(None) is None


@pytest.mark.parametrize(
    ("given", "tls", "meant"),
    [
        ("tcp://host:8786", None, "tcp://host:8786"),
        ("tcp://host:8786", "keys", "tls://host:8786"),
        ("tls://host:8786", "keys", "tls://host:8786"),
        ("host:8786", None, "tcp://host:8786"),
    ],
)
def test_a_schedulers_address_says_how_it_is_spoken_to(given: str, tls: str | None, meant: str) -> None:
    assert address(given, tls) == meant


def test_addresses_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(SettingsError, match="wants certificates"):
        address("tls://host:8786", None)
    with pytest.raises(SettingsError, match="is no scheduler's address"):
        address("http://host:8786", None)


def test_nobody_listens_for_other_machines_in_the_clear_unasked() -> None:
    with pytest.raises(SettingsError, match="could run any code"):
        run_scheduler("0.0.0.0", 0, None, plain=False, say=print)


@pytest.mark.parametrize(
    ("shows", "told"),
    [
        ("another authority's certificate", "certificates are not of one authority"),
        ("this user's own", "certificates are not of one authority"),
        ("none, and nobody listens", "no scheduler answers"),
    ],
)
def test_a_stranger_is_not_let_in(
    lent_scheduler: Any, tmp_path: Path, shows: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    foreign = issue(tmp_path / "foreign", "worker")
    tls = str(foreign) if shows.startswith("another") else None
    port = 1 if shows.endswith("nobody listens") else lent_scheduler.port
    monkeypatch.setattr("processing.farm.execution.services.environment", lambda _threads: {})
    monkeypatch.setattr("processing.farm.execution.dask_cluster.CONNECT_S", 1)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(SchedulerUnreachable, match=told),
    ):
        run_worker(f"tcp://127.0.0.1:{port}", OfferedResources(ram_gb=1.0), tls, print)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        daemon = RemoteWorkers(FarmSettings(scheduler=f"tcp://127.0.0.1:{port}", tls=tls), lambda _event: None)
        with pytest.raises(SchedulerUnreachable, match=told):
            daemon.client()


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "mien" / "farm-here"


@pytest.mark.parametrize(
    "place", ["tcp://127.0.0.1:8786", "127.0.0.1:8786", "localhost:8786", "tls://127.0.0.2:1", "127.0.0.1", "::1"]
)
def test_on_this_machine_tls_is_spoken_unasked(own_data: Path, place: str) -> None:
    tls = credentials(place, None)
    assert tls == str(own_data / "here")
    assert credentials(place, "given") == "given"
    assert address("tcp://127.0.0.1:8786", tls) == "tls://127.0.0.1:8786"
    for private in (own_data, own_data / "here", own_data / "here" / "key.pem"):
        assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0


def test_another_machine_is_spoken_to_as_before() -> None:
    assert credentials("tcp://10.0.0.1:8786", None) is None


def test_certificates_that_others_may_read_are_refused(own_data: Path) -> None:
    place = own()
    (place / "key.pem").chmod(0o640)
    with pytest.raises(SettingsError, match="not this user's alone"):
        own()
    with pytest.raises(SettingsError, match="chmod 600"):
        security(place)
    assert own_data.exists()


def test_nobody_without_its_certificates_reaches_a_cluster_of_this_machine() -> None:
    """The daemon's own scheduler and workers: every port they listen on, spoken to as a stranger would."""
    import psutil
    from distributed import Client

    from processing.farm.execution.dask_cluster import executor

    me = psutil.Process()
    before = {*me.children(recursive=True)}
    mine = len([c for c in me.net_connections("inet") if c.status == "LISTEN"])
    with executor(FarmSettings(workers=1, ram_gb=1.0), lambda _event: None) as cluster:
        assert cluster.client().submit(int, "7").result(30) == 7
        ports = {
            (c.laddr.ip, c.laddr.port)
            for process in (me, *({*me.children(recursive=True)} - before))
            for c in process.net_connections("inet")
            if c.status == "LISTEN"
        }
        assert len(ports) > mine
        assert {ip for ip, _ in ports} <= {"127.0.0.1"}
        assert str(cluster.client().scheduler.address).startswith("tls://")
        for scheme in ("tcp", "tls"):
            with pytest.raises((OSError, TypeError, TimeoutError)):
                Client(cluster.client().scheduler.address.replace("tls", scheme), timeout=1, set_as_default=False)


def test_a_folder_of_a_guessable_name_must_be_this_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from db.errors import StoreError
    from processing.farm.execution.scratch_folders import own_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert stat.S_IMODE(own_folder("dask").stat().st_mode) == 0o700
    planted = tmp_path / f"mien-runs-{os.getuid()}"
    planted.symlink_to(tmp_path)
    with pytest.raises(StoreError, match="not this user's own"):
        own_folder("runs")
    (tmp_path / f"mien-scratch-{os.getuid()}").mkdir()
    (tmp_path / f"mien-scratch-{os.getuid()}").chmod(0o777)
    with pytest.raises(StoreError, match="not this user's own"):
        own_folder("scratch")
