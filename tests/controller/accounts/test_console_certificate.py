"""The console by TLS: its own certificate, for its own names, and the same sign-in as on loopback."""

import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from patience import until

from controller.accounts import console_certificate as certificates
from controller.accounts.console_certificate import console_certificate
from controller.api.app import make_console
from controller.api.connection_limits import server_options
from controller.api.server import ConsoleServer, SecureDoor
from controller.errors import ConfigurationError
from controller.studio_settings import load_settings

NAMES = {"127.0.0.2", "studio.lan"}


def test_it_is_made_once_and_anew_when_its_names_change_or_its_end_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = console_certificate(tmp_path, NAMES)
    assert first.is_new
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert len(first.fingerprint) == 95
    assert first.context().minimum_version >= ssl.TLSVersion.TLSv1_2
    again = console_certificate(tmp_path, NAMES)
    assert (again.is_new, again.fingerprint) == (False, first.fingerprint)
    other = console_certificate(tmp_path, {*NAMES, "10.0.0.1"})
    assert other.fingerprint != first.fingerprint
    assert console_certificate(tmp_path, {*NAMES, "10.0.0.1"}, anew=True).fingerprint != other.fingerprint
    monkeypatch.setattr(certificates, "BEFORE", certificates.timedelta(days=900))
    assert console_certificate(tmp_path, {*NAMES, "10.0.0.1"}).is_new


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = console_certificate(tmp_path, NAMES).key
    key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        console_certificate(tmp_path, NAMES)
    key.chmod(0o600)
    (key.parent / "cert.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="made anew"):
        console_certificate(tmp_path, NAMES)


@pytest.fixture
def door(studio: Any, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A console in the clear on 127.0.0.1 and by TLS on 127.0.0.2: its port, and the certificate to trust."""
    certificate = console_certificate(tmp_path, NAMES)
    with socket.socket() as plain, socket.socket() as network:
        plain.bind(("127.0.0.1", 0))
        port = plain.getsockname()[1]
        network.bind(("127.0.0.2", port))
        app = make_console(studio, "token", names=["127.0.0.2", "studio.lan"])
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5, **server_options())
        server = ConsoleServer(config, SecureDoor(network, certificate))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [plain]})
        thread.start()
        until(lambda: len(getattr(server, "servers", [])) == 2, "the console was not served")
        yield port, certificate.path
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def test_the_network_is_spoken_to_by_tls_alone_under_its_own_names(door: tuple[int, Path]) -> None:
    port, certificate = door
    trusting = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(verify=trusting, trust_env=False) as client:
        page = client.get(f"https://127.0.0.2:{port}/sign-in")
        assert page.status_code == 200
        assert page.headers["strict-transport-security"].startswith("max-age=")
        refused = client.get(f"https://127.0.0.2:{port}/sign-in", headers={"Host": "evil.example"})
        assert refused.status_code == 400
        for host in (f"studio.lan:{port}", "studio.lan"):
            assert client.get(f"https://127.0.0.2:{port}/sign-in", headers={"Host": host}).status_code == 200
    assert "strict-transport-security" not in httpx.get(f"http://127.0.0.1:{port}/sign-in").headers
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.2:{port}/sign-in", trust_env=False)  # nobody's authority has signed it
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.2:{port}/sign-in", trust_env=False)


def test_a_session_by_tls_has_a_cookie_for_this_host_alone(studio: Any, door: tuple[int, Path]) -> None:
    port, certificate = door
    link = studio.accounts.add(f"tess{port}", certificates_role())
    with httpx.Client(verify=ssl.create_default_context(cafile=str(certificate)), trust_env=False) as client:
        url = f"https://127.0.0.2:{port}"
        opened = client.post(
            f"{url}/sign-in/link", json={"token": link, "password": "rope tango seven lamp"}, headers={"Origin": url}
        )
        assert opened.status_code == 200, opened.text
        cookie = opened.headers["set-cookie"]
        assert cookie.startswith("__Host-mien-session=")
        assert "Secure" in cookie
        assert client.get(f"{url}/api/me").json()["role"] == "operator"
        stolen = {"Cookie": f"mien-session={client.cookies['__Host-mien-session']}"}
        client.cookies.clear()
        assert client.get(f"{url}/api/me", headers=stolen).status_code == 401  # by TLS no other name is taken


def certificates_role() -> Any:
    from db.models import ConsoleRole

    return ConsoleRole.OPERATOR


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "localhost", "studio.lan", "224.0.0.1", "10.0.0"])
def test_an_address_that_is_none_of_the_network_is_refused(tmp_path: Path, address: str) -> None:
    (tmp_path / "rig.toml").write_text('name = "r"\n[[camera]]\nname = "cam-00"\nview = 0\n')
    (tmp_path / "studio.toml").write_text(f'[studio]\nconsole_address = "{address}"\n')
    with pytest.raises(ConfigurationError, match="console_address"):
        load_settings(tmp_path)
