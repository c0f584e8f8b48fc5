"""Figures as a person reads them."""


def milliseconds(value: float | None, absent: str = "-") -> str:
    """ "58.25 ms"; `absent` for a figure that there is none of."""
    return absent if value is None else f"{value:.2f} ms"
