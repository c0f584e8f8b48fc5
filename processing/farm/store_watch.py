"""Whether the store of a daemon is there and is the studio's: without it no run begins."""

import contextlib
import time

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from db import store_identity
from db.engine import reading
from db.errors import StoreError
from db.store import Store
from db.store_identity import IdentityStanding
from processing.farm.execution.machine_faults import NoStore, require_store

LOOK_EVERY_S = 5.0


class StoreWatch:
    """Looks at a store now and then. A store and a database that carry no identity yet, and agree, are given one."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine, self._store = engine, store
        #: Whose store it is; empty where the records carry no identity, or the store is not surely theirs.
        self.studio = ""
        self._known = False
        self._problem = ""
        self._looked = -LOOK_EVERY_S

    def problem(self) -> str:
        """Why no run can begin; empty when it can. Raises DatabaseUnavailable."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._problem = self._look()
            self._looked = now
        return self._problem

    def _look(self) -> str:
        try:
            if not self._known:
                return self._first_look()
            require_store(self._store, self.studio)
        except (NoStore, StoreError) as error:
            return str(error)
        return ""

    def _first_look(self) -> str:
        verdict = store_identity.check(self._engine, self._store)
        if verdict.standing in (IdentityStanding.AWAY, IdentityStanding.OTHER):
            return verdict.message
        if verdict.standing is IdentityStanding.NEW:
            with contextlib.suppress(IntegrityError):  # another daemon does so this moment
                store_identity.note(self._engine, self._store)
        with reading(self._engine) as tx:
            own = store_identity.read(tx)
        note = self._store.identity()
        self.studio = own.studio if own and note and own.studio == note.studio else ""
        self._known = True
        return ""
