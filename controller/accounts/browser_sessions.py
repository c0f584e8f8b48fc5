"""Who a browser's cookie stands for: looked up in the records, kept for a moment, forgotten when something changes.

Accounts are changed by this process and by commands beside it; whatever those do holds here two seconds later.
"""

import base64
import hashlib
import hmac
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from controller.accounts.roles import Visitor
from db.accounts import console_sessions
from db.accounts.console_sessions import SessionFacts
from db.accounts.secret_tokens import token_hash
from db.engine import reading, transaction, utc_now
from db.errors import RecordError

log = logging.getLogger(__name__)

FRESH_S = 2.0
SEEN_EVERY_S = 60.0
MOST = 1000
LONGEST_TOKEN = 64  # characters


def csrf_token(token: str) -> str:
    """What a session's commands must show: it follows from the cookie's token, which no page can read."""
    made = hmac.new(token.encode(), b"mien csrf", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


@dataclass(frozen=True)
class _Known:
    facts: SessionFacts
    until: float  # monotonic s


class BrowserSessions:
    """Sessions by their cookies. find() and touch() are for the server's loop, the rest for any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._seen: dict[int, float] = {}

    def is_known(self, token: str) -> bool:
        """Whether it was found lately, without a look into the records."""
        with self._lock:
            return token_hash(token) in self._known

    async def find(self, token: str) -> Visitor | None:
        """Who the cookie's token stands for; None for a session that has ended or never was."""
        if not 0 < len(token) <= LONGEST_TOKEN or not token.isascii():
            return None
        key = token_hash(token)
        with self._lock:
            known = self._known.get(key)
        if known is None or known.until < time.monotonic():
            known = await run_in_threadpool(self._look_up, key)
        if known is None or not known.facts.stands(utc_now()):
            return None
        facts = known.facts
        return Visitor(facts.person, facts.role, facts.account_id, facts.session_id, csrf_token(token))

    async def touch(self, visitor: Visitor) -> None:
        """Something was done in this session: its idle time begins anew. Written at most once a minute."""
        session, now = visitor.session_id, time.monotonic()
        if session is None or now - self._seen.get(session, -SEEN_EVERY_S) < SEEN_EVERY_S:
            return
        self._seen[session] = now
        if len(self._seen) > MOST:
            self._seen.pop(next(iter(self._seen)))
        await run_in_threadpool(self._note_seen, session)

    def forget(self) -> None:
        """Something changed: ask the records again. Who was known stays so, for limits of those whom nobody knows."""
        with self._lock:
            for key, known in self._known.items():
                self._known[key] = replace(known, until=0.0)

    def end(self, session_id: int) -> None:
        """Sign it out."""
        with transaction(self._engine) as tx:
            console_sessions.end_session(tx, session_id)
        self.forget()

    def _look_up(self, key: str) -> _Known | None:
        with reading(self._engine) as tx:
            facts = console_sessions.find_session(tx, key)
        with self._lock:
            if facts is None:
                self._known.pop(key, None)
                return None
            known = self._known[key] = _Known(facts, time.monotonic() + FRESH_S)
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return known

    def _note_seen(self, session: int) -> None:
        try:
            with transaction(self._engine) as tx:
                console_sessions.note_seen(tx, session)
        except RecordError as error:  # it is asked again with the next command
            self._seen.pop(session, None)
            log.warning("a session's last use is not written: %s", error)
        self.forget()
