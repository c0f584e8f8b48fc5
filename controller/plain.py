"""Words that came from a node, made fit for a terminal, a page and a database."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` with every control character as "?": PostgreSQL stores no NUL, and a terminal would obey an escape."""
    return _CONTROL.sub("?", text)
