"""The camera check over a take: views that it leaves out are skipped with their reason, cameras are put right."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.array_types import Image
from common.progress import Progress, no_progress
from processing.camera_check.camera_check import CheckedCameras, check_cameras
from processing.camera_check.settings import CameraCheckSettings
from processing.files.camera_models import camera_from_params, is_valid, params_of
from processing.files.photograph_sequence import LazyPhotographs, selected_photographs
from processing.files.take_folder import Take


def check_take_cameras(
    take: Take,
    images: Sequence[Image],
    *,
    settings: CameraCheckSettings | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> tuple[Take, LazyPhotographs, CheckedCameras]:
    """The take and its photographs (as `read_photos` gives them) without the views that were left out.

    Raises CameraCheckSettingsError where the calibration does not belong to the photographs, or too few views are left.
    """
    checked = check_cameras(images, take.cameras, settings=settings, workers=workers, progress=progress)
    views, kept, skipped = [], [], dict(take.skipped)
    why = checked.report.excluded
    for at, (view, camera) in enumerate(zip(take.views, checked.cameras, strict=True)):
        if camera is None:
            skipped[view.index] = why[str(view.camera.name)]
        else:
            views.append(replace(view, camera=camera))
            kept.append(at)
    return (
        replace(take, views=tuple(views), skipped=dict(sorted(skipped.items()))),
        selected_photographs(images, kept),
        checked,
    )


def cameras_used(take: Take) -> dict[str, Any]:
    """FaceScape's params.json of the views that are used, as put right; the others are marked invalid."""
    params = params_of({v.index: v.camera for v in take.views}, {v.index: v.serial for v in take.views})
    return params | {f"{view}_valid": False for view in take.skipped}


def with_cameras_used(take: Take, params: Mapping[str, Any]) -> Take:
    """A take, read anew, with the cameras that `cameras_used` wrote. Raises CameraError."""
    views = tuple(
        replace(view, camera=camera_from_params(params, view.index))
        for view in take.views
        if is_valid(params, view.index)
    )
    left = {v.index: "left out of the scan" for v in take.views if not is_valid(params, v.index)}
    return replace(take, views=views, skipped=dict(sorted((left | dict(take.skipped)).items())))
