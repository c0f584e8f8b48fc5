"""How many of a rig's views a take can do without: what the studio spares, the hand-off asks for and a scan needs."""

FEWEST_VIEWS = 6  # a scan needs so many


def allowed_missing(views: int) -> int:
    """How many of a rig's views may be missing or unusable: a quarter, 17 of 68, as long as enough are left for a scan.

    Whether a scan of so few is good enough is judged on the scan itself.
    """
    return max(0, min(views // 4, views - FEWEST_VIEWS))
