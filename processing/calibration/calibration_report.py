"""What `mien calibrate` says and writes about a calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from processing.calibration.board_photographs import RigCamera
from processing.calibration.rig_calibration import Calibration
from processing.files.camera_models import params_of
from processing.geometry.cameras import Camera

_SHOWN = 40


def rig_json(found: Calibration, rig: Sequence[RigCamera], frame: str) -> dict[str, Any]:
    """FaceScape's params.json of the rig, with each view's quality beside its cameras and the rest under "calibration".

    '<v>_quality': rms_px, poses, corners, centre and turn covariance, and the lens's standard deviations. A view that
    could not be placed is marked invalid.
    """
    cameras = {rig[c].view: camera for c, camera in found.cameras.items()}
    params = params_of(cameras, {camera.view: camera.serial or camera.name for camera in rig})
    for c, quality in found.quality.items():
        view = rig[c].view
        params[f"{view}_matches"] = quality.corners
        params[f"{view}_quality"] = {
            "poses": quality.poses,
            "corners": quality.corners,
            "covered": quality.covered,
            "rms_px": quality.rms_px,
            "centre_sd_mm": quality.centre_sd_mm,
            "turn_sd_deg": quality.turn_sd_deg,
            "centre_covariance_mm2": quality.centre_covariance_mm2.tolist(),
            "turn_covariance_deg2": quality.turn_covariance_deg2.tolist(),
            "lens_sd": dict(
                zip(("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3"), quality.lens_sd.tolist(), strict=True)
            ),
        }
    for camera in rig:
        if camera.name in found.unlinked:
            params[f"{camera.view}_valid"] = False
            params[f"{camera.view}_sn"] = camera.serial or camera.name
    params["calibration"] = report(found, frame)
    return params


def report(found: Calibration, frame: str) -> dict[str, Any]:
    return {
        "method": "charuco bundle adjustment",
        "frame": frame,
        "cameras": len(found.cameras),
        "poses": len(found.poses),
        "corners": found.corners,
        "rms_px": found.rms_px,
        "sigma_px": found.sigma_px,
        "unlinked": dict(found.unlinked),
        "rejected": [{"pose": r.pose, "camera": r.camera, "reason": r.reason} for r in found.rejected],
        "warnings": list(found.warnings),
    }


def rows(found: Calibration) -> list[list[str]]:
    """The table of the cameras: name, poses, corners, RMS, covered, centre, turn, focal length."""
    return [
        [
            camera.name, str(q.poses), str(q.corners), f"{q.rms_px:.2f} px", f"{100 * q.covered:.0f} %",
            f"{q.centre_sd_mm:.3f} mm", f"{q.turn_sd_deg:.4f}°", f"{camera.K[0, 0]:.1f} ± {q.lens_sd[0]:.1f} px",
        ]
        for camera, q in ((found.cameras[c], found.quality[c]) for c in sorted(found.cameras))
    ]  # fmt: skip


HEADINGS = ("camera", "poses", "corners", "RMS", "covered", "centre sd", "turn sd", "focal length")


def lines(found: Calibration) -> list[str]:
    """What was not used, and doubts, for a person."""
    told = [r for r in found.rejected if r.reason != "no board found"]
    blank = len(found.rejected) - len(told)
    out = [f"not used  {r.pose}{'' if r.camera is None else f', {r.camera}'}: {r.reason}" for r in told[:_SHOWN]]
    if len(told) > _SHOWN:
        out.append(f"not used  and {len(told) - _SHOWN} more (all are in the file)")
    if blank:
        out.append(f"{blank} photographs show no board, as cameras behind it do")
    out += [f"warning   {warning}" for warning in found.warnings]
    return out + [f"missing   {name}: {why}" for name, why in found.unlinked.items()]


def differences(first: Mapping[int, Camera], second: Mapping[int, Camera]) -> list[dict[str, float]]:
    """Views in both, after the second was moved onto the first: centre mm, turn degrees, focal length per cent."""
    from processing.calibration.head_frame import frame_like
    from processing.geometry.rotations import rotation_angle_deg

    (R, t), off = frame_like(second, first)
    out = []
    for view, mm in off.items():
        a, b = first[view], second[view].moved(R, t)
        focal = 100 * (b.K[0, 0] / a.K[0, 0] - 1)
        shift = float(np.linalg.norm(a.K[:2, 2] - b.K[:2, 2]))
        turn = float(rotation_angle_deg(a.R, b.R))
        out.append(
            {"view": view, "centre_mm": mm, "turn_deg": turn, "focal_percent": float(focal), "principal_px": shift}
        )
    return out
