"""Photographs of a ColorChecker in a folder, one a view, become colour profiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processing.files.colour_profiles import ProfileError
from processing.files.take_folder import decode_photo
from processing.photometry.colour_checker import CheckerFit, fit_matrix, patches_of


@dataclass(frozen=True, eq=False)
class ColourCheckerFits:
    """fits: view -> its profile and how well it fits; refused: view -> why it has none."""

    fits: Mapping[int, CheckerFit]
    refused: Mapping[int, str]


def fit_colour_checkers(folder: Path) -> ColourCheckerFits:
    """Profiles from `<view>.jpg`. Raises ProfileError where none of the folder shows a chart."""
    photographs = sorted((p for p in folder.glob("*.jpg") if p.stem.isdecimal()), key=lambda p: int(p.stem))
    if not photographs:
        raise ProfileError(f"{folder} has no photographs 0.jpg, 1.jpg, ... of a ColorChecker")
    fits: dict[int, CheckerFit] = {}
    refused: dict[int, str] = {}
    for path in photographs:
        image = decode_photo(path)
        if isinstance(image, str):
            refused[int(path.stem)] = image
            continue
        try:
            fits[int(path.stem)] = fit_matrix(patches_of(image))
        except ProfileError as error:
            refused[int(path.stem)] = str(error)
    if not fits:
        lines = [f"none of the {len(photographs)} photographs of {folder} gives a colour profile:"]
        raise ProfileError("\n".join(lines + [f"  view {view}  {why}" for view, why in list(refused.items())[:20]]))
    return ColourCheckerFits(fits, refused)
