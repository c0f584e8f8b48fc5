"""Client of the studio's server, for the commands: loopback HTTP with the token from the home."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from controller.errors import ControllerError, StudioUnreachable
from db.settings import Settings

ADDRESS_FILE = "console.json"
CONSOLE_PORT = 5780
PATIENCE_S = 300.0


def console_url(settings: Settings) -> str:
    """Where a browser on this machine finds a home's console: where it is served now, else where it would be."""
    port = settings.sections.get("studio", {}).get("console_port", CONSOLE_PORT)
    with suppress(OSError, ValueError, KeyError, TypeError):
        port = int(json.loads((settings.home / ADDRESS_FILE).read_text(encoding="utf-8"))["port"])
    return f"http://localhost:{port}"


class StudioRefusal(ControllerError):
    """The studio's own error, with its own exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StudioClient:
    """Calls the server that runs for this home.

    Raises StudioUnreachable, or StudioRefusal with the studio's message.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = Settings.load(home).home
        path = self._home / ADDRESS_FILE
        try:
            address = json.loads(path.read_text(encoding="utf-8"))
            self._url, self._token = f"http://127.0.0.1:{int(address['port'])}", str(address["token"])
        except FileNotFoundError:
            raise StudioUnreachable(self._advice()) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudioUnreachable(f"{path} cannot be used ({error}). {self._advice()}") from error

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path, None)

    def post(self, path: str, patience_s: float = PATIENCE_S, /, **body: object) -> dict[str, Any]:
        """patience_s: how long the answer may take."""
        return self._call("POST", path, body, patience_s)

    def download(self, path: str) -> bytes:
        """The bytes at a path of the console. Raises as get() does."""
        import httpx

        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = httpx.get(self._url + path, headers=headers, timeout=PATIENCE_S, trust_env=False)
        except httpx.TransportError as error:
            raise StudioUnreachable(f"{self._url} does not answer ({error}). {self._advice()}") from error
        if answer.status_code != 200:
            raise StudioRefusal(f"{path} cannot be had: {answer.status_code}", 4)
        return answer.content

    def _call(
        self, method: str, path: str, body: Mapping[str, object] | None, patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        import httpx

        try:
            answer = httpx.request(
                method,
                self._url + path,
                json=body,
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=httpx.Timeout(patience_s, connect=3.0),
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise StudioUnreachable(f"{self._url} does not answer ({error}). {self._advice()}") from error
        try:
            data = answer.json()
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise StudioUnreachable(f"{self._url} answered {answer.status_code} without data; see the studio's log")
        if answer.status_code == 200:
            return data
        raise StudioRefusal(
            str(data.get("error") or data.get("detail") or answer.status_code), int(data.get("exit_code", 3))
        )

    def _advice(self) -> str:
        return (
            f"No studio is served for {self._home}. Start it in another window:  mien studio serve --home {self._home}"
        )
