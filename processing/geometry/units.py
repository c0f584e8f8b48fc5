"""Units of length: the project computes in millimetres; what comes in another unit is told by its size."""

_MM_A_UNIT = (("metres", 1000.0), ("centimetres", 10.0), ("inches", 25.4), ("micrometres", 0.001))


def guess_unit(size: float, usual: float) -> str:
    """The end of a message about a length: " (these look like metres)" where another unit would make it usual, else "".

    size: as given.  usual: mm.
    """
    for name, factor in _MM_A_UNIT:
        if 0.6 < size * factor / usual < 1.6:
            return f" (these look like {name})"
    return ""


def in_other_units(size: float) -> str:
    """What a length as given would be in the units that make it one of a head's surroundings, in words."""
    named = [f"in {name} it is {size * factor:.3g} mm" for name, factor in _MM_A_UNIT if 100 <= size * factor <= 3000]
    return ", ".join([*named, "or it is in a free unit, as structure from motion leaves it"])
