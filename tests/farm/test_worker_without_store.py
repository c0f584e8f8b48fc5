"""A worker that does not see the store, as where its mount is missing: real workers, in processes of their own."""

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.models import Job
from processing.farm.daemon import FarmDaemon
from processing.farm.farm_listener import FarmListener

ONCE = dict.fromkeys(("1_neutral", "2_smile", "3_mouth_stretch"), 1)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*socket.socket.*:pytest.PytestUnraisableExceptionWarning"),
]


class Heard(FarmListener):
    """What a daemon warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def blind(studio: Any, lent_scheduler: Any) -> Iterator[Any]:
    """A worker with an empty file system where the studio's store is, which goes away when a file says so."""
    mend = studio.control / "mend"
    hides = f"mount -t tmpfs none '{studio.store}'"
    shows = f"(while [ ! -e '{mend}' ]; do sleep 0.1; done; umount '{studio.store}') &"
    alone = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "sh", "-c", f"{hides}; true"], capture_output=True).returncode != 0:
        pytest.skip("this machine gives no mount namespaces")
    before = lent_scheduler.times_ready("blind")
    lent_scheduler.start_worker("blind", under=(*alone, "sh", "-c", f'{hides} && {shows} exec "$0" "$@"'))
    wait_until_ready = lambda: lent_scheduler.times_ready("blind") > before  # noqa: E731
    yield lent_scheduler, mend, wait_until_ready
    lent_scheduler.kill("blind")
    mend.touch()  # what waits for it in the background ends too


def test_a_worker_without_the_store_fails_no_run_and_comes_back(studio: Any, blind: Any, waiting: Any) -> None:
    lent, mend, ready = blind
    waiting(ready)
    heard = Heard()
    settings = studio.settings(**lent.settings, backoff_s=0.5)
    summary = FarmDaemon(studio.engine, studio.store, settings, studio.template, heard).run(until_idle=True)
    assert (summary.done, summary.jobs.troubled) == (0, False)
    assert "worker blind is set aside" in summary.problems["workers"]
    assert "worker blind is set aside" in heard.warnings[0]
    farm = FarmDaemon(studio.engine, studio.store, settings, studio.template, heard)
    running = threading.Thread(target=farm.run)
    running.start()
    try:
        waiting(lambda: len(heard.warnings) == 2)
        mend.touch()
        waiting(studio.all_done)
    finally:
        farm.stop()
        running.join(timeout=600)
    studio.whole()
    assert heard.warnings[-1] == "worker blind runs things again"
    assert studio.runs() == ONCE
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.attempts))) == {1}


def test_a_worker_without_the_store_beside_good_ones(studio: Any, blind: Any, lent: Any, waiting: Any) -> None:
    _, _, ready = blind
    waiting(ready)
    summary = studio.run(**lent.settings, backoff_s=0.2)
    studio.whole()
    assert (summary.done, summary.failed_attempts, summary.problems) == (9, 0, {})
    assert studio.runs() == ONCE
