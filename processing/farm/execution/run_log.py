"""What a run says while it runs, in a file: it is there when the run's process is not there any more."""

import faulthandler
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from common.guarding.log_records import FORMAT, SafeLogFormatter


@contextmanager
def run_log(path: Path, heading: str) -> Iterator[Callable[[str], None]]:
    """Write to `path` what this thread logs, what is said by the function that this yields, and where a crash happened.

    The file is begun anew. A run that ends by a signal (out of memory, a fault in a library) leaves it as it was.
    """
    thread = threading.get_ident()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", buffering=1) as file:

        def say(text: str) -> None:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")

        handler = logging.StreamHandler(file)
        handler.setFormatter(SafeLogFormatter(FORMAT))
        handler.addFilter(lambda record: record.thread == thread)
        logging.getLogger().addHandler(handler)
        crashes = not faulthandler.is_enabled()
        if crashes:
            faulthandler.enable(file, all_threads=False)
        try:
            say(heading)
            yield say
        finally:
            if crashes:
                faulthandler.disable()
            logging.getLogger().removeHandler(handler)
