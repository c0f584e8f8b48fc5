"""What the learned networks are worth on synthetic people who were never trained on, and how long they take.

Synthetic faces flatter: their wrinkles follow one rule, and their pores are noise that no photograph tells. The same
command with a studio's own release, model and weights says what is true there.

Displacement maps (`detail_mm` and beside it): for each person of `--people` (a release, or a folder in the layout of
`mien process`, people held back) and each expression, by the true base mesh and the neutral's texture, mean error over
skin against the true map, at 256 and 512 px, beside

    mean map        the training people's mean map of the expression
    static map      the same network's map of the source expression, kept for every expression; and the true source's
                    map, which no photograph tells
    no deforming    the network that is told the expression's name in place of the motion (`--without WEIGHTS`)

With `--photographs`: table 1 in kind. Photographs are rendered of the people, the fit and the network make a detailed
rig of each, and its surface in the source and in all expressions is compared with the true detailed mesh.

    OMP_NUM_THREADS=1 python benchmarks/bench_learned.py --weights detail.safetensors --without label.safetensors \\
        --model model.npz --people held-back [--photographs] [--json]

With `--regressor` and `--lab`, `regressor_ms` of benchmarks/learned_fit.py; with `--synthesis`, `synthesis_ms` of
benchmarks/dynamic_detail.py.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.geometry.uv_rasterization import texels_of
from processing.learning.detail.detail_predictor import DetailPredictor, resampled
from processing.learning.detail.relief_figures import (
    mean_error,
    radial_power,
    region_texels,
    skin_texels,
    spectrum_ratio,
)
from processing.learning.weights_file import read_weights
from processing.template.template import Template
from processing.template.template_file import read_template
from processing.training.study_faces import StudyFaces, resized

SIZES = (256, 512)
PAPER_MM = {"source": 1.22, "all": 1.39}  # FaceScape's table 1, of its own captured data
MOVES_MM = 0.03  # where the true map differs by more from the person's neutral, skin wrinkles


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class Bench:
    """What is compared, and on whom."""

    faces: StudyFaces
    template: Template
    ours: DetailPredictor
    without: DetailPredictor | None
    people: tuple[str, ...]

    def inside(self, size_px: int) -> dict[str, Bools]:
        """Texels of skin, of the face, and of its regions."""
        texels = texels_of(self.template.mesh, size_px)
        whole = skin_texels(self.template.mesh, texels, self.template.parts)
        regions = {name: where & whole for name, where in region_texels(self.template, texels).items()}
        return {"skin": whole, "face": np.any(list(regions.values()), axis=0), **regions}


def compare(bench: Bench) -> dict[str, Any]:
    """Errors of every method, all expressions and source only, by size and region; the spectra."""
    where = {size: bench.inside(size) for size in SIZES}
    errors: dict[tuple[int, str, str], list[float]] = {}
    powers: dict[str, list[Floats]] = {}
    for person in bench.people:
        say(f"{person}")
        for size, method, made, true, is_source, moves in maps_of(bench, person):
            inside = where[size]
            note(errors, size, method, "skin", made, true, inside["skin"])
            if is_source:
                note(errors, size, method, "source", made, true, inside["skin"])
            else:
                note(errors, size, method, "wrinkled", made, true, inside["skin"] & moves)
            for region in list(inside)[1:]:
                note(errors, size, method, region, made, true, inside[region])
            if size == SIZES[0] and method == "ours":
                powers.setdefault("ours", []).append(radial_power(made, inside["face"]))
                powers.setdefault("truth", []).append(radial_power(true, inside["face"]))
    table: dict[str, Any] = {}
    for (size, method, region), values in errors.items():
        table.setdefault(str(size), {}).setdefault(method, {})[region] = round(float(np.nanmean(values)), 5)
    mean = {name: np.mean(values, axis=0) for name, values in powers.items()}
    table["spectrum_texels"] = {k: round(v, 3) for k, v in spectrum_ratio(mean["ours"], mean["truth"]).items()}
    return table


def note(
    errors: dict[tuple[int, str, str], list[float]], size: int, method: str, region: str, made: Floats32,
    true: Floats32, where: Bools,
) -> None:  # fmt: skip
    errors.setdefault((size, method, region), []).append(mean_error(made, true, where))


def maps_of(bench: Bench, person: str) -> Any:
    """(size, method, made, true, whether it is the source's own expression, where the true relief moves) of a person,
    the neutral as source.
    """
    faces, ours = bench.faces, bench.ours
    neutral = faces.neutral(person)
    rest = faces.vertices(person, neutral)
    texture = faces.texture(person, neutral, ours.own_px)
    static = ours.heights(texture, rest, rest, rest)
    resting = full(faces, person, str(neutral))
    for label in faces.labels(person):
        if str(label) not in ours.labels:
            continue
        number = ours.labels.index(str(label))
        target = rest if label == neutral else faces.vertices(person, label)
        made = {"ours": ours.heights(texture, rest, rest, target), "static map": static}
        without = bench.without
        if without is not None and without.change is not None:
            made["no deforming map"] = without.heights(texture, rest, rest, target, label=number)
            made["mean map"] = without.relief.rest + without.change[number]
        true_map = full(faces, person, str(label))
        for size in SIZES:
            true, valid = resized(true_map, size)
            before, _ = resized(resting, size)
            moves = valid & (np.abs(true - before) > MOVES_MM)
            yield from (
                (size, method, resampled(one, ours.relief.valid, size).height_mm, true, label == neutral, moves)
                for method, one in made.items()
            )
            yield size, "true static map", before, true, label == neutral, moves


def full(faces: StudyFaces, person: str, label: str) -> Any:
    """The map as its file has it."""
    from processing.files.displacement_png import read_displacement_png

    return read_displacement_png(faces.files(person, label).displacement)


def networks_times(asked: argparse.Namespace) -> dict[str, float | None]:
    """Of the regressor and of the synthesis, ms, by their own benchmarks; None where what they need was not named."""
    found: dict[str, float | None] = {"regressor_ms": None, "synthesis_ms": None}
    if asked.regressor is not None and asked.lab is not None:
        from learned_fit import learned_fit_figures

        figures = learned_fit_figures(asked.lab, asked.model, asked.regressor, subjects=1, lenses=(0,))
        found["regressor_ms"] = figures["regressor_ms"]
    if asked.synthesis:
        from dynamic_detail import captured_face, synthesis_figures

        found["synthesis_ms"] = synthesis_figures(captured_face(), frames=60)["synthesis_ms"]
    return found


def predicted_ms(bench: Bench) -> float:
    """Of one map of own_px, ms, the mean of the 20 of a person."""
    person = bench.people[0]
    rest = bench.faces.vertices(person, bench.faces.neutral(person))
    texture: Image = np.full((bench.ours.own_px, bench.ours.own_px, 3), 128, np.uint8)
    bench.ours.heights(texture, rest, rest, rest)
    begun = time.perf_counter()
    for _ in bench.ours.labels:
        bench.ours.heights(texture, rest, rest, rest)
    return 1000 * (time.perf_counter() - begun) / len(bench.ours.labels)


def opened(asked: argparse.Namespace, model: FaceModel) -> Bench:
    faces = StudyFaces.open(asked.people)
    mesh = model.topology.mesh
    ours_weights = read_weights(asked.weights, "detail")
    trained = set(ours_weights.card.subjects) & set(faces.subjects)
    if trained and ours_weights.card.release.get("name") == faces.lineage["name"]:
        say(f"left out, they were trained on: {', '.join(sorted(trained))}")
        people = tuple(one for one in faces.subjects if one not in trained)
    else:
        people = faces.subjects
    without = None if asked.without is None else DetailPredictor.open(read_weights(asked.without, "detail"), mesh)
    template = read_template(asked.template or asked.people / "template.npz")
    return Bench(faces, template, DetailPredictor.open(ours_weights, mesh), without, people[: asked.most])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--weights", type=Path, help="of `mien learn detail`")
    parser.add_argument("--without", type=Path, help="weights of a run with --set motion=label")
    parser.add_argument("--model", type=Path, help="the face model of the weights")
    parser.add_argument("--people", type=Path, help="people held back: a release, or a folder")
    parser.add_argument("--template", type=Path, help="the people's template; default: PEOPLE/template.npz")
    parser.add_argument("--most", type=int, default=8, help="people at most")
    parser.add_argument("--photographs", action="store_true", help="table 1 in kind, from rendered photographs")
    parser.add_argument("--regressor", type=Path, help="weights of `mien learn regressor`: for regressor_ms")
    parser.add_argument("--lab", type=Path, help="FS-Lab, for regressor_ms")
    parser.add_argument("--synthesis", action="store_true", help="synthesis_ms, of benchmarks/dynamic_detail.py")
    asked = parser.parse_args()
    told: dict[str, Any] = dict(networks_times(asked))
    if asked.weights is not None:
        if asked.model is None or asked.people is None:
            parser.error("--weights needs --model and --people")
        model = read_model(asked.model)
        bench = opened(asked, model)
        if asked.photographs:
            from detail_table_1 import table_1

            told["table_1_mm"] = table_1(model, bench.ours, bench.faces, bench.people) | {"paper": PAPER_MM}
        else:
            table = compare(bench)
            smallest = table[str(SIZES[0])]
            names = {
                "detail_mm": "ours", "mean_map_mm": "mean map", "static_map_mm": "static map",
                "no_deforming_map_mm": "no deforming map", "true_static_map_mm": "true static map",
            }  # fmt: skip
            told |= {key: smallest[name]["skin"] for key, name in names.items() if name in smallest}
            told |= {"map_ms": round(predicted_ms(bench), 1), "people": len(bench.people), "table": table}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
