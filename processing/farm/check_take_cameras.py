"""`mien cameras check`: a take's cameras held against its photographs, as Reconstruct does before it makes a scan."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from processing.camera_check.report import CameraCheckReport
from processing.camera_check.settings import CameraCheckSettings, CameraCheckSettingsError
from processing.farm.reconstruct_take import CameraFiles, with_camera_files
from processing.stages.base import TAKE, Inputs
from processing.stages.support.checked_take import check_take


@dataclass(frozen=True)
class TakeCameras:
    """What was found."""

    report: CameraCheckReport | None  # None where the whole calibration does not fit
    refused: str = ""  # why: it belongs to another rig or another day
    skipped: Mapping[int, str] = field(default_factory=dict)  # view -> why its photograph is not looked at

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what `--json` prints. Cameras are named by their view's number."""
        skipped = {str(view): why for view, why in self.skipped.items()}
        report = {} if self.report is None else asdict(self.report)
        return report | {"skipped": skipped, "refused": self.refused or None}


def judge_take_cameras(take_dir: Path, rig: Path | None = None) -> TakeCameras:
    """Judge a take's cameras. rig: cameras that go before the take's own. Raises DataError."""
    with tempfile.TemporaryDirectory(prefix="mien-take-") as folder:
        source = with_camera_files(take_dir, CameraFiles(rig), Path(folder))
        try:
            found = check_take(Inputs({TAKE: source}), CameraCheckSettings())
        except CameraCheckSettingsError as error:
            return TakeCameras(None, str(error))
    told = {finding.camera for finding in found.report.findings} if found.report else set()
    skipped = {view: why for view, why in found.take.skipped.items() if str(view) not in told}
    return TakeCameras(found.report, skipped=skipped)
