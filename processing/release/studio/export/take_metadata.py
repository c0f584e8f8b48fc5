"""Take metadata, beside its files: meta/<id>/<k>_<name>.json.

Frames of a take, all in millimetres: `rig` is the calibration's, `scan` the frame of mesh/, `tu` that of models_reg/,
`template` that of the template's head, in which every face of the release stands upright and in the same place.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from common.array_types import Floats
from db.release_records.releases import ReleasedCapture, ReleasedRun
from processing.geometry.procrustes import IDENTITY, Similarity, fit_motion_robust
from processing.registration.register import EXPRESSION, NEUTRAL
from processing.release.formats.released_files import CALIBRATION, MESH, SCAN
from processing.release.studio.export.topology_files import landmark_version, topology_id
from processing.release.studio.selection.selection import SelectedSubject, SelectedTake
from processing.stages.register import Register
from processing.template.template import SKIN, Template

# A head is the same head in every expression: what moves by more is expression, not head.
SAME_HEAD_MM = 0.5
_NOT_OF_INTEREST = ("seconds", "cameras", "review")  # times differ by machine; the others have places of their own


def to_template(template: Template, vertices_mm: Floats, neutral_mm: Floats | None = None) -> Similarity:
    """The rigid motion from a registered mesh to the template's head frame; lengths stay as they are.

    vertices_mm: (V, 3) of an expression.  neutral_mm: (V, 3) of the same subject's neutral face: with it the head of
    the expression comes to rest where the neutral's does, whatever the face performs.
    """
    weights = np.where(template.parts == SKIN, template.weights, 0.0)
    resting = vertices_mm if neutral_mm is None else neutral_mm
    motion = fit_motion_robust(resting, template.mesh.vertices_mm, weights, with_scale=False)
    if neutral_mm is None:
        return motion
    still = fit_motion_robust(vertices_mm, neutral_mm, weights, with_scale=False, noise_mm=SAME_HEAD_MM)
    return motion.after(still)


def as_json(motion: Similarity) -> dict[str, Any]:
    """x -> scale R x + t_mm."""
    return {
        "scale": round(motion.scale, 9),
        "R": np.round(motion.R, 9).tolist(),
        "t_mm": np.round(motion.t, 6).tolist(),
    }


@dataclass(frozen=True, eq=False)
class RegisteredTake:
    """A take's registered mesh, and how it stands among all others."""

    template: Template
    #: (V, 3) in the rig's frame, mm.
    vertices_mm: Floats
    #: To the template's head frame: see to_template.
    motion: Similarity


@dataclass(frozen=True)
class StageReports:
    """What stages said of a take."""

    #: Of the registration.
    registration: Mapping[str, Any]
    #: Of the reconstruction.
    reconstruction: Mapping[str, Any]
    #: The landmarks that were seen; None where nobody looked for any.
    detected: Mapping[str, Any] | None


def describe_take(
    subject: SelectedSubject,
    take: SelectedTake,
    registered: RegisteredTake,
    reports: StageReports,
    *,
    displacement: Mapping[str, Any],
    pictures: Mapping[str, Any],
    files: Mapping[str, str | None],
) -> dict[str, Any]:
    """The JSON of one take. files: every file that belongs to a take -> why it is missing, None where it is there."""
    points = registered.template.landmark_points(registered.vertices_mm)
    return {
        "subject": {"index": subject.index, "code": subject.code},
        "expression": {"position": take.position, "name": take.named.name, "label": take.label},
        "take": take.code,
        "consent": {
            # Not the form's hash: whoever guesses what was filled in could tell by it that the guess is right.
            scope: {"form_version": given.form_version}
            for scope, given in sorted(subject.consents.items())
        },
        "rig": rig_facts(take.capture),
        "sync": sync_facts(take.capture),
        "scale": scale_facts(take.capture),
        "frames": {
            "scan_to_rig": as_json(IDENTITY),
            "scan_to_tu": as_json(IDENTITY),
            "tu_to_rig": as_json(IDENTITY),
            "tu_to_template": as_json(registered.motion),
        },
        "topology": topology_id(take.template),
        "landmarks": {
            "version": landmark_version(registered.template),
            "points_mm": np.round(points, 4).tolist(),
            "detected": reports.detected,
        },
        "displacement": dict(displacement),
        **_stage_facts(take, reports),
        "pictures": dict(pictures),
        "made_by": {name: made_by(run) for name, run in sorted(take.runs.items())},
        "made_from": {
            "template": take.template,
            "photographs": {str(view): photo.sha256 for view, photo in sorted(take.photographs.items())},
            "without": {str(view): why for view, why in sorted(take.absent.items())},
        },
        "files": dict(files),
    }


def _stage_facts(take: SelectedTake, reports: StageReports) -> dict[str, Any]:
    """How well the mesh and the scan are said to be."""
    scan = take.runs[SCAN.name]
    return {
        "registration": {
            "report": dict(reports.registration),
            "start": "the template's head" if take.is_neutral else "the subject's neutral face",
            "fitting": fitting(take),
        },
        "reconstruction": {
            "verdict": scan.verdict,
            "reasons": list(scan.reasons),
            "figures": dict(scan.figures),
            "report": {k: v for k, v in reports.reconstruction.items() if k not in _NOT_OF_INTEREST},
        },
    }


def sync_facts(capture: ReleasedCapture) -> dict[str, Any]:
    """How far apart the photographs are, ms; None: not measured."""
    return {
        "command_skew_ms": capture.command_skew_ms,
        "clock_uncertainty_ms": capture.clock_uncertainty_ms,
        "exposure_skew_ms": capture.exposure_skew_ms,
        "exposure_source": capture.exposure_source,
    }


def rig_facts(capture: ReleasedCapture) -> dict[str, Any]:
    """Which cameras took it, under which calibration; the file has the cameras and their colour profiles."""
    return {
        "id": capture.rig_id,
        "name": capture.rig,
        "session": capture.session,
        "profile": capture.profile,
        "calibration": {
            "id": capture.calibration_id,
            "version": capture.calibration_version,
            "method": capture.calibration_method,
            "file": rig_file(capture),
        },
    }


def rig_file(capture: ReleasedCapture) -> str | None:
    """Where a release keeps a calibration; None where the take has none."""
    if capture.calibration_id is None:
        return None
    return CALIBRATION.format(rig=capture.rig_id, calibration=capture.calibration_version)


def scale_facts(capture: ReleasedCapture) -> dict[str, Any]:
    """Where the millimetre comes from."""
    about = capture.calibration.get("calibration")
    frame = about.get("frame") if isinstance(about, dict) else None
    source = "not recorded: the take has no calibration"
    if capture.calibration_id is not None:
        source = f"calibration {capture.calibration_version} of rig {capture.rig}, method {capture.calibration_method}"
    return {"unit": "mm", "source": source, "rig_frame": frame, "normalisation": "none"}


def fitting(take: SelectedTake) -> dict[str, Any]:
    """The schedule of the non-rigid fit, where this program knows that version of the stage."""
    run = take.runs[MESH.name]
    if (run.stage, run.version) != (Register.name, Register.version):
        return {"known": False, "stage_version": run.version}
    return {"known": True, **asdict(NEUTRAL if run.params.get("expression", "neutral") == "neutral" else EXPRESSION)}


def made_by(run: ReleasedRun) -> dict[str, Any]:
    """A stage run: equal key, equal result."""
    return {"stage": run.stage, "version": run.version, "params": dict(run.params), "key": run.key}
