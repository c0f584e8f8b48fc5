"""Avatars of people who are not in the study: photographs of them are made, and what comes out is held against them.

PEOPLE is a folder as `benchmarks/face_study_model.py --people` writes it. Of each person one photograph is drawn (light
and background by the person's number, the sides in turn), `mien avatar` is run on it as a user does, by itself, and its
texture is compared with the person's own where the avatar says that the photograph shows the face. Synthetic people
flatter: they have no hair, glasses or collars, and the model knows how they were made.

    OMP_NUM_THREADS=1 python benchmarks/avatar_photographs.py PEOPLE --model model.npz [--weights W] [--count 6]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Image
from processing.files.mesh_files import read_mesh
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.mesh import Mesh
from processing.synthetic.face_photographs import (
    FacePhotography,
    drawn_background,
    drawn_lighting,
    studio_lighting,
    turned_lighting,
)

ROOT = Path(__file__).resolve().parents[1]
SIDE_PX, DISTANCE_MM, ACROSS_MM = 900, 900.0, 300.0
YAWS_DEG = (0.0, 20.0, -20.0, 40.0, -40.0, 0.0)
NEUTRAL = "1_neutral"


def read_person(folder: Path) -> tuple[Mesh, Image]:
    """Neutral mesh and texture, BGR."""
    texture = cv2.imread(str(folder / "models_reg" / f"{NEUTRAL}.jpg"))
    assert texture is not None
    return read_mesh(folder / "models_reg" / f"{NEUTRAL}.obj"), np.asarray(texture, np.uint8)


def photographed(mesh: Mesh, texture: Image, yaw_deg: float, seed: int, light: str) -> Image:
    """A portrait of 900 pixels from 90 centimetres."""
    rng = np.random.default_rng([20, seed])
    R = upright_rotation(-direction_of(yaw_deg, float(rng.uniform(-8, 8))), float(rng.normal(0, 0.05)))
    focal = SIDE_PX * DISTANCE_MM / ACROSS_MM
    K = np.array([[focal, 0, (SIDE_PX - 1) / 2], [0, focal, (SIDE_PX - 1) / 2], [0, 0, 1.0]])
    camera = Camera(K, R, np.array([0, 0, DISTANCE_MM]) - R @ [0.0, 0.0, 30.0], SIDE_PX, SIDE_PX)
    about = studio_lighting() if light == "studio" else drawn_lighting(rng)
    image, _ = FacePhotography(mesh, texture, occlusion_rays=16).photograph(
        camera,
        lighting=turned_lighting(about, R),
        background=drawn_background(rng, SIDE_PX, SIDE_PX),
        gloss=0.1,
        rng=rng,
    )
    return image


def run_command(photograph: Path, out: Path, asked: argparse.Namespace) -> tuple[dict[str, object], float, float]:
    """`mien avatar` by itself: its report, seconds by the clock and of the CPU."""
    words = [sys.executable, str(ROOT / "mien.py"), "avatar", str(photograph), "--model", str(asked.model)]
    words += ["--out", str(out), "--json", "--light", asked.keep]
    words += ["--weights", asked.weights] if asked.weights else []
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    answer = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if answer.returncode:
        raise SystemExit(f"{photograph.name}: {answer.stderr.strip()[-300:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(answer.stdout), seconds, cpu


def texture_off(made: Image, true: Image, shown: np.ndarray) -> tuple[float, float]:
    """Mean difference of colours 0..255 where `shown`; and with the light's level and tint taken out."""
    own = cv2.resize(true, made.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float64)[shown]
    seen = made.astype(np.float64)[shown]
    gain = np.median(own / seen.clip(1), axis=0)
    return float(np.abs(seen - own).mean()), float(np.abs(seen * gain - own).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--light", choices=("studio", "drawn"), default="drawn", help="of the photographs")
    parser.add_argument("--keep", choices=("keep", "even"), default="even", help="mien avatar --light")
    asked = parser.parse_args()
    folders = sorted(folder for folder in asked.people.iterdir() if (folder / "models_reg").is_dir())[: asked.count]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for number, folder in enumerate(folders):
            mesh, texture = read_person(folder)
            yaw = YAWS_DEG[number % len(YAWS_DEG)]
            photograph, out = Path(name) / f"{folder.name}.png", Path(name) / f"{folder.name}.glb"
            cv2.imwrite(str(photograph), photographed(mesh, texture, yaw, number, asked.light))
            report, seconds, cpu = run_command(photograph, out, asked)
            from processing.avatars.avatar_files import AvatarInputs, make_avatar_file

            weights = Path(asked.weights) if asked.weights else None
            made = make_avatar_file(AvatarInputs(photograph, asked.model, weights, light=asked.keep), out)
            shown = made.avatar.texture.shown
            plain, matched = texture_off(made.avatar.texture.image, texture, shown)
            rows.append({
                "person": folder.name, "yaw_deg": yaw, "seconds": seconds, "cpu_seconds": cpu,
                "bytes": report["bytes"], "verdict": report["verdict"], "texture_off": plain,
                "texture_off_but_for_gain": matched, **made.avatar.figures,
            })  # fmt: skip
            print(f"{folder.name}: {seconds:.1f} s, {cpu:.1f} s of CPU", file=sys.stderr, flush=True)
    keys = ("seconds", "cpu_seconds", "bytes", "landmark_percent", "texture_off", "texture_off_but_for_gain",
            "face_completed", "correction_mm")  # fmt: skip
    mean = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    print(json.dumps({"people": len(rows), "load": os.getloadavg()[0], "mean": mean, "each": rows}, indent=1))


if __name__ == "__main__":
    main()
