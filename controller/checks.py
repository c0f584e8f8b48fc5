"""A second look at a take that is whole: advice to the operator in words, never a verdict."""

import statistics
from collections.abc import Mapping

from controller.photo import Photo
from controller.rig_file import CheckLimits

BLACK = 3.0  # mean brightness, of 255
ENOUGH = 3  # cameras that must agree before one can be the odd one out


def review(photos: Mapping[str, Photo], before: Mapping[str, Photo], limits: CheckLimits) -> dict[str, str]:
    """What looks wrong, by camera.

    photos: this take's. before: each camera's photograph in the last take that was kept. A camera is a brightness
    outlier when its own change since then differs from the rig's median change by more than the factor in `limits`:
    cameras see different things, so each is its own measure.
    """
    found: dict[str, str] = {}
    changes = {
        camera: photo.brightness / before[camera].brightness
        for camera, photo in photos.items()
        if camera in before and before[camera].brightness > BLACK and photo.brightness > BLACK
    }
    usual = statistics.median(changes.values()) if len(changes) >= ENOUGH else None
    for camera, photo in photos.items():
        if photo.brightness <= BLACK:
            found[camera] = "its photograph is black: lens cap, or a strobe that did not fire?"
        elif photo.clipped_percent > limits.max_clipped_percent:
            found[camera] = f"{photo.clipped_percent:.0f} % of its pixels are clipped: too much light"
        elif usual is not None and camera in changes:
            ratio = changes[camera] / usual
            if not 1 / limits.brightness_outlier_factor <= ratio <= limits.brightness_outlier_factor:
                word = "brighter" if ratio > 1 else "darker"
                found[camera] = f"{max(ratio, 1 / ratio):.1f} times {word} than the other cameras' change explains"
    return found
