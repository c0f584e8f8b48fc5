"""The views of the page, in the order of their keys."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PageView:
    """One view of the page."""

    name: str  # in the page's address, after #
    title: str  # on its tab
    file: str  # of its module and its style in static/views


VIEWS = (
    PageView("shoot", "Shoot", "shoot"),
    PageView("cameras", "Cameras", "cameras"),
    PageView("prepare", "Prepare", "prepare"),
    PageView("sessions", "Sessions", "sessions"),
    PageView("night", "Night", "night"),
    PageView("three-d", "3-D", "three_d"),
    PageView("release", "Release", "release"),
)
