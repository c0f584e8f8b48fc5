"""Programs that show a token instead of a browser's cookie: the home's owner's commands, and what may do one thing."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from controller.accounts.roles import Visitor
from db.audit import audit_log
from db.models import ConsoleRole

SCRAPER = Visitor("metrics", ConsoleRole.VIEWER)


@dataclass(frozen=True)
class Bearer:
    """Who shows a token."""

    shown: Callable[[str], bool]  # whether an Authorization header holds it
    visitor: Visitor
    only: str = ""  # the one path that it opens; "" for all that the role may


def owner_of(token: str) -> Bearer:
    """The home's owner, by the token that lies there for its user alone: a manager, under the login name."""
    expected = f"Bearer {token}".encode()
    return Bearer(
        lambda given: hmac.compare_digest(given.encode(errors="surrogatepass"), expected),
        Visitor(audit_log.actor(), ConsoleRole.MANAGER),
    )
