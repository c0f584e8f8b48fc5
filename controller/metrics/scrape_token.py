"""The token with which Prometheus asks: it opens the figures and nothing else, and lasts from one start to the next."""

import hmac
import logging
import os
import secrets
import stat
from pathlib import Path

from common.bounded.files import read_text
from common.files.atomic_write import write_whole

FILE = "metrics.token"  # in the studio's home
_SHORTEST = 32
_LARGEST = 4096  # bytes

log = logging.getLogger(__name__)


class ScrapeToken:
    """The token of a home. It is made where there is none, and anew where others could have read it."""

    def __init__(self, home: Path) -> None:
        self.file = home / FILE
        self._token = self._kept() or self._made()

    def shown(self, authorization: str) -> bool:
        """Whether the header of this name holds the token."""
        return hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode())

    def _kept(self) -> str:
        try:
            mode = self.file.stat(follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077 or self.file.stat().st_uid != os.getuid():
                log.warning("%s is open to others: a new token is made; give it to Prometheus", self.file)
                return ""
            token = read_text(self.file, _LARGEST).strip()
        except OSError:
            return ""
        return token if len(token) >= _SHORTEST else ""

    def _made(self) -> str:
        token = secrets.token_urlsafe(32)
        write_whole(self.file, token + "\n", mode=0o600)
        return token
