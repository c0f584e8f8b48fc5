"""How many views of a rig a take needs, so that a scan can be made of it."""

FEWEST_VIEWS = 6  # a scan needs so many


def views_needed(cameras: int) -> int:
    """Of so many cameras: three quarters, and never fewer than a scan needs."""
    return max(FEWEST_VIEWS, cameras - cameras // 4)
