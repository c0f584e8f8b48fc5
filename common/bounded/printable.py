"""Text from elsewhere for a terminal, a log or a message: printable, and not without end."""

import unicodedata


def shown(text: object, most: int = 200) -> str:
    """`text` with what steers a terminal or the direction of writing as \\x1b, \\u202e; cut after `most` signs."""
    written = str(text)
    cut = len(written) > most
    clean = "".join(sign if _plain(sign) else _escaped(sign) for sign in written[:most])
    return f"{clean}…" if cut else clean


def is_plain(text: str) -> bool:
    """Whether every sign is one that stands for itself on a page: no control, format, surrogate or private sign."""
    return all(_plain(sign) for sign in text)


def _plain(sign: str) -> bool:
    return sign == " " or (sign.isprintable() and unicodedata.category(sign)[0] not in "CZ")


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")
