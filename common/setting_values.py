"""Camera settings as bodies and files spell them: "1/125" or "0.0080s", "f/8" or "8", "ISO 200" or "200"."""

import re

_NUMBER = re.compile(r"(?:iso|f/?)?\s*(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?\s*(?:s|sec|\")?")
_ALIKE = 0.02  # of the value: how far two spellings of one step lie apart, as 1/125 s and 0.0080 s do


def setting_number(text: str) -> float | None:
    """The value of a shutter speed (s), an aperture (f-number) or an ISO; None for what is none, as "auto", "bulb"."""
    found = _NUMBER.fullmatch(text.strip().lower())
    if found is None or (found[2] and float(found[2]) == 0):
        return None
    return float(found[1]) / float(found[2] or 1)


def same_setting(one: str, other: str) -> bool:
    """Whether two spellings of a setting mean the same."""
    if one.strip().lower() == other.strip().lower():
        return True
    a, b = setting_number(one), setting_number(other)
    return a is not None and b is not None and abs(a - b) <= _ALIKE * abs(b)
