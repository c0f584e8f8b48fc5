"""Texts that came from elsewhere (a node, a manifest, a database), made fit for a terminal, a log, a page, a database.

A terminal obeys escapes, a log is forged by a newline, a reader is misled by marks that turn the direction of writing
around, PostgreSQL stores no NUL, and half a surrogate pair cannot be written at all. Two rules say what is taken out:

    plain, plain_lines, escaped_lines   what is obeyed rather than shown: the studio's own texts keep all else, as hard
                                        spaces and joined signs
    shown, is_plain                     whatever does not stand for itself on a page: names and messages of strangers,
                                        where two that look alike must not be
"""

import re

_LINES = "\n\t"
_UNFIT = (
    "\x00-\x1f\x7f-\x9f"  # C0 and C1: escapes, NUL, backspace, newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    "\u2028\u2029"  # line and paragraph separators
    "\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # shown as nothing
    "\ud800-\udfff"  # halves of pairs
)
_ONE_LINE = re.compile(f"[{_UNFIT}]")
_SEVERAL = re.compile(f"(?![{_LINES}])[{_UNFIT}]")


def plain(text: str) -> str:
    """`text` on one line, with every character that is obeyed rather than shown as "?"."""
    return _ONE_LINE.sub("?", text)


def plain_lines(text: str) -> str:
    """The same where lines are wanted: line ends and tabs stay."""
    return _SEVERAL.sub("?", text)


def escaped_lines(text: str) -> str:
    r"""The same with each such character written out (\u001b), as JSON writes it: JSON stays what it was."""
    return _SEVERAL.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    pair = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[i]:02x}{pair[i + 1]:02x}" for i in range(0, len(pair), 2))


def shown(text: object, most: int = 200) -> str:
    r"""A stranger's text with each sign that does not stand for itself written out (\x1b, \u202e), cut after `most`."""
    written = str(text)
    cut = len(written) > most
    clean = "".join(sign if sign.isprintable() else _escaped(sign) for sign in written[:most])
    return f"{clean}…" if cut else clean


def is_plain(text: str) -> bool:
    """Whether every sign is one that stands for itself on a page: no control, format, surrogate or private sign, and
    no space but the ordinary one."""
    return text.isprintable()


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")
