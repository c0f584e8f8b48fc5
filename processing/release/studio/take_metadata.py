"""What a release says of each take, beside its files: meta/<id>/<k>_<name>.json.

Frames of a take, all in millimetres: `rig` is the calibration's, `scan` the frame of mesh/, `tu` that of models_reg/,
`template` that of the template's head, in which every face of the release stands upright and in the same place.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from common.array_types import Floats
from db.release_records.releases import ReleasedCapture, ReleasedRun
from processing.geometry.procrustes import IDENTITY, Similarity, fit_motion_robust
from processing.registration.register import EXPRESSION, NEUTRAL
from processing.release.studio.selection import SelectedSubject, SelectedTake
from processing.release.studio.topology_files import landmark_version, topology_id
from processing.stages.register import Register
from processing.template.template import SKIN, Template

META = "meta"
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


def from_json(value: Mapping[str, Any]) -> Similarity:
    """What as_json wrote."""
    return Similarity(float(value["scale"]), np.array(value["R"], dtype=np.float64), np.array(value["t_mm"]))


def describe_take(
    subject: SelectedSubject,
    take: SelectedTake,
    template: Template,
    vertices_mm: Floats,
    motion: Similarity,
    *,
    relief: Mapping[str, Any],
    registration: Mapping[str, Any],
    reconstruction: Mapping[str, Any],
    detected: Mapping[str, Any] | None,
    pictures: Mapping[str, Any],
    files: Mapping[str, str | None],
) -> dict[str, Any]:
    """The JSON of one take. files: every file that belongs to a take -> why it is missing, None where it is there.

    registration, reconstruction: what those stages reported.  detected: the landmarks that were seen.
    """
    capture = take.capture
    points = template.landmark_points(vertices_mm)
    return {
        "subject": {"index": subject.index, "code": subject.code},
        "expression": {"position": take.position, "name": take.label.partition("_")[2], "label": take.label},
        "take": take.code,
        "consent": {
            # Not the form's hash: whoever guesses what was filled in could tell by it that the guess is right.
            scope: {"form_version": given.form_version}
            for scope, given in sorted(subject.consents.items())
        },
        "rig": rig_facts(capture),
        "sync": {
            "command_skew_ms": capture.command_skew_ms,
            "clock_uncertainty_ms": capture.clock_uncertainty_ms,
            "exposure_skew_ms": capture.exposure_skew_ms,
            "exposure_source": capture.exposure_source,
        },
        "scale": scale_facts(capture),
        "frames": {
            "scan_to_rig": as_json(IDENTITY),
            "scan_to_tu": as_json(IDENTITY),
            "tu_to_rig": as_json(IDENTITY),
            "tu_to_template": as_json(motion),
        },
        "topology": topology_id(take.template),
        "landmarks": {
            "version": landmark_version(template),
            "points_mm": np.round(points, 4).tolist(),
            "detected": detected,
        },
        "displacement": dict(relief),
        "registration": {
            "report": dict(registration),
            "start": "the template's head" if take.is_neutral else "the subject's neutral face",
            "fitting": fitting(take),
        },
        "reconstruction": {
            "verdict": take.runs["scan"].verdict,
            "reasons": list(take.runs["scan"].reasons),
            "figures": dict(take.runs["scan"].figures),
            "report": {k: v for k, v in reconstruction.items() if k not in _NOT_OF_INTEREST},
        },
        "pictures": dict(pictures),
        "made_by": {name: made_by(run) for name, run in sorted(take.runs.items())},
        "made_from": {
            "template": take.template,
            "photographs": {str(view): photo.sha256 for view, photo in sorted(take.photographs.items())},
            "without": {str(view): why for view, why in sorted(take.absent.items())},
        },
        "files": dict(files),
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
    return f"rigs/{capture.rig_id}-{capture.calibration_version}.json"


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
    run = take.runs["mesh"]
    if (run.stage, run.version) != (Register.name, Register.version):
        return {"known": False, "stage_version": run.version}
    return {"known": True, **asdict(NEUTRAL if run.params.get("expression", "neutral") == "neutral" else EXPRESSION)}


def made_by(run: ReleasedRun) -> dict[str, Any]:
    """A stage run: equal key, equal result."""
    return {"stage": run.stage, "version": run.version, "params": dict(run.params), "key": run.key}
