"""A take's photographs and cameras as reconstruction takes them: profiles applied, cameras held against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from common.array_types import Floats, Image
from common.progress import part
from processing.camera_check.report import CameraCheckReport
from processing.camera_check.settings import CameraCheckSettings
from processing.camera_check.take_check import check_take_cameras
from processing.files.colour_profiles import Profile, read_profiles
from processing.files.photograph_sequence import LazyPhotographs, selected_photographs
from processing.files.take_folder import HELD_BYTES, Take, read_photos, read_take
from processing.geometry.cameras import Camera
from processing.photometry.colour_correction import apply_profile
from processing.stages.base import TAKE, Inputs


@dataclass(frozen=True, eq=False)
class CheckedTake:
    """The views of a take that serve, and what was found of the others."""

    take: Take  # the views in use, their cameras as put right; the rest in `skipped` with the reason
    images: LazyPhotographs  # (H, W, 3) uint8 BGR, one a view in use
    calibrated: tuple[Camera, ...]  # as calibrated, of every view whose photograph could be read
    report: CameraCheckReport | None = None  # None where the cameras were not checked
    points_mm: Floats = field(default_factory=lambda: np.zeros((0, 3)))  # (P, 3) places that three views agree on

    @property
    def troubles(self) -> dict[str, str]:
        """Camera -> what was wrong with it."""
        found = {f.camera: f.text for f in self.report.troubles} if self.report else {}
        return {str(view): why for view, why in self.take.skipped.items()} | found

    def without(self, unused: Mapping[str, str]) -> "CheckedTake":
        """Without these views. unused: camera name (the view's number) -> why it gave nothing."""
        why = {int(name): reason for name, reason in unused.items()}
        kept = [k for k, view in enumerate(self.take.views) if view.index not in why]
        views = tuple(self.take.views[k] for k in kept)
        skipped = dict(sorted((dict(self.take.skipped) | why).items()))
        return replace(
            self, take=replace(self.take, views=views, skipped=skipped), images=selected_photographs(self.images, kept)
        )


def check_take(inputs: Inputs, settings: CameraCheckSettings | None) -> CheckedTake:
    """Read the input `take`, apply the colour profiles of its params.json, and hold its cameras against each other.

    settings: None leaves the cameras as they are calibrated. Takes the first tenth of the progress. Raises DataError.
    """
    folder, progress = inputs[TAKE], part(inputs.progress, 0.03, 0.97)
    take, images = read_photos(read_take(folder), progress=part(inputs.progress, 0, 0.03))
    indices = [view.index for view in take.views]
    profiles = read_profiles(folder / "params.json", indices)

    def in_profile(at: int, image: Image) -> Image:
        profile: Profile | None = profiles.get(indices[at])
        return image if profile is None else apply_profile(image, profile)

    kept = selected_photographs(images, range(len(indices)))
    if profiles:
        kept = kept.changed(in_profile).held(HELD_BYTES)
    calibrated = tuple(take.cameras)
    if settings is None:
        return CheckedTake(take, kept, calibrated)
    take, kept, found = check_take_cameras(
        take, kept, settings=settings, workers=inputs.threads, progress=part(progress, 0.0, 0.08)
    )
    return CheckedTake(take, kept, calibrated, found.report, found.points_mm)
