"""What the preview stage found, as a person reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processing.farm.execution.stage_run import Results, made
from processing.stages.outputs import CAPTIONS


def figures(quality: Mapping[str, Any]) -> dict[str, str]:
    """The columns of the report's table."""
    base, detailed = quality["mesh_to_scan"], quality["detailed_to_scan"]
    return {
        "Photographs": f"{quality['photographs_used']} of {quality['photographs']}",
        "Scan": _verdict(quality),
        "Scan vertices": f"{quality['scan_vertices']:,}",
        "Landmarks": f"{quality['landmarks_known']} of 68",
        "Landmark error": _unit(quality["landmarks_error_px"], "px"),
        "Mesh to scan, mean": _unit(base["mean_mm"], "mm"),
        "Mesh to scan, 95 %": _unit(base["p95_mm"], "mm"),
        "With relief, mean": _unit(detailed["mean_mm"], "mm"),
        "With relief, 95 %": _unit(detailed["p95_mm"], "mm"),
        "Skin seen": _share(quality["texture_seen_share"]),
        "Relief known": _share(quality["displacement_valid_share"]),
    }


def brief(quality: Mapping[str, Any]) -> dict[str, str]:
    """The few columns that fit on a terminal."""
    return {
        "Photos": str(quality["photographs_used"]),
        "Scan": f"{quality['scan_vertices'] // 1000}k",
        "Verdict": _verdict(quality),
        "Landmarks px": f"{quality['landmarks_error_px']:.2f}" if quality["landmarks_error_px"] is not None else "–",
        "Mesh mm": f"{quality['mesh_to_scan']['mean_mm']:.3f}",
        "+ relief mm": f"{quality['detailed_to_scan']['mean_mm']:.3f}",
        "95 % mm": f"{quality['detailed_to_scan']['p95_mm']:.3f}",
        "Seen": _share(quality["texture_seen_share"]),
    }


def pictures(results: Results) -> list[tuple[str, Path]]:
    """The pictures of a take with their captions."""
    return [
        (caption, made(results, name))
        for name, caption in CAPTIONS.items()
        if name.output in results.get(name.stage, {})
    ]


def findings(quality: Mapping[str, Any]) -> list[str]:
    """What was wrong with the take's cameras, and why its scan or its mesh is not simply accepted."""
    cameras = (quality.get("cameras") or {}).get("findings", [])
    said = [f"camera {f['camera']}: {f['text']}" for f in cameras if f["kind"] != "not judged"]
    for name, key in (("scan", "review"), ("mesh", "mesh_review")):
        review = quality.get(key) or {}
        said += [f"{name}, {review['verdict']}: {reason}" for reason in review.get("reasons", [])]
    return said


def _verdict(quality: Mapping[str, Any]) -> str:
    return str((quality.get("review") or {}).get("verdict", "–"))


def _unit(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3f} {unit}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
