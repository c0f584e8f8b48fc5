"""Photographs of a ColorChecker in a folder, one a view, become colour profiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processing.files.colour_profiles import ProfileError
from processing.files.take_folder import decode_photo
from processing.files.take_photographs import find_photographs
from processing.photometry.colour_checker import CheckerFit, fit_matrix, patches_of


@dataclass(frozen=True, eq=False)
class ColourCheckerFits:
    """fits: view -> its profile and how well it fits; refused: view -> why it has none."""

    fits: Mapping[int, CheckerFit]
    refused: Mapping[int, str]


def fit_colour_checkers(folder: Path) -> ColourCheckerFits:
    """Profiles from `<view>.jpg`, or as takes name their photographs.

    Raises ProfileError where none of the folder shows a chart.
    """
    if not folder.is_dir():
        raise ProfileError(f"{folder} is not a folder; give one with 0.jpg, 1.jpg, ... of a ColorChecker")
    found = find_photographs(folder, {})
    if not found.of_view:
        hint = f"; {found.unnamed()}" if found.others else ""
        raise ProfileError(f"{folder} has no photographs 0.jpg, 1.jpg, ... of a ColorChecker{hint}")
    fits: dict[int, CheckerFit] = {}
    refused = {view: found.why_none(view) for view in found.doubled}
    for view, path in found.of_view.items():
        image = decode_photo(path)
        if isinstance(image, str):
            refused[view] = image
            continue
        try:
            fits[view] = fit_matrix(patches_of(image))
        except ProfileError as error:
            refused[view] = str(error)
    if not fits:
        lines = [f"none of the {len(found.of_view)} photographs of {folder} gives a colour profile:"]
        raise ProfileError("\n".join(lines + [f"  view {view}  {why}" for view, why in list(refused.items())[:20]]))
    return ColourCheckerFits(fits, refused)
