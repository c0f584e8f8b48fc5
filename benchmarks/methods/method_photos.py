"""What the programs of this folder share: the list of photographs that they get, and the files that they write.

A list is a CSV file with name, path and focal_px (empty where it is not to be known). Of each photograph a program
writes <name>.camera.json, then <name>.ply, or <name>.fault.txt with the reason why there is none.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from processing.files.image_files import read_image
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES, find_faces
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68

UNAVAILABLE = 77  # exit code: what is needed is not installed


@dataclass(frozen=True)
class ListedPhoto:
    """A photograph of the list."""

    name: str
    path: Path
    focal_px: float | None


def listed(path: Path) -> list[ListedPhoto]:
    """The photographs of a list."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            ListedPhoto(row["name"], Path(row["path"]), float(row["focal_px"]) if row["focal_px"] else None)
            for row in csv.DictReader(file)
        ]


def with_landmarks(photos: list[ListedPhoto], out: Path) -> Iterator[tuple[ListedPhoto, Any, Any]]:
    """Photograph, image (H, W, 3) BGR, and its 68 landmarks (68, 2) px; those without a face become faults.

    Faces are found as Mien's own fit finds them, so that it is the fits that are compared.
    """
    with LandmarkDetector(faces=MOST_FACES) as detector:
        for photo in photos:
            image = read_image(photo.path)
            faces = find_faces(image, detector)
            if not faces:
                fault(out, photo, "no face was found")
                continue
            largest = max(faces, key=lambda face: face.size_px)
            yield photo, image, largest.landmarks_px[MEDIAPIPE_TO_68]


def fault(out: Path, photo: ListedPhoto, why: str) -> None:
    """Say why there is no mesh of a photograph."""
    (out / f"{photo.name}.fault.txt").write_text(f"{why}\n", encoding="utf-8")


def write_face(out: Path, photo: ListedPhoto, vertices: Any, triangles: Any, scale: float, R: Any, t: Any) -> None:
    """A mesh and its orthographic camera: pixel = scale (R x)_xy + t, x right, y down, z away."""
    camera = {
        "projection": "orthographic",
        "scale": float(scale),
        "R": np.asarray(R).tolist(),
        "t": list(map(float, t)),
    }
    (out / f"{photo.name}.camera.json").write_text(json.dumps(camera), encoding="utf-8")
    write_ply(out / f"{photo.name}.ply", Mesh(np.asarray(vertices, float), np.asarray(triangles)))


def unavailable(why: str) -> NoReturn:
    """End: the method cannot run here."""
    print(why)
    sys.exit(UNAVAILABLE)


def weak_perspective(points: Any, pixels: Any) -> tuple[float, Any, Any]:
    """Scale, R and t of the weak perspective camera that sees points (N, 3) at pixels (N, 2), by least squares."""
    from scipy.optimize import least_squares

    points, pixels = np.asarray(points, float), np.asarray(pixels, float)
    middle, centre = points.mean(axis=0), pixels.mean(axis=0)
    affine = np.linalg.lstsq(points - middle, pixels - centre, rcond=None)[0].T
    U, s, Vt = np.linalg.svd(affine, full_matrices=False)
    two = U @ Vt
    R = np.stack([two[0], two[1], np.cross(two[0], two[1])])
    start = np.r_[cv2.Rodrigues(R)[0].ravel(), np.log(s.mean())]

    def away(x: Any) -> Any:
        turned = (points - middle) @ cv2.Rodrigues(x[:3])[0][:2].T * np.exp(x[3])
        return (turned - turned.mean(axis=0) - (pixels - centre)).ravel()

    x = least_squares(away, start, method="lm").x
    R, scale = cv2.Rodrigues(x[:3])[0], float(np.exp(x[3]))
    return scale, R, centre - scale * (R[:2] @ middle)
