"""Writing a release's files under FaceScape's names, from the store into a folder.

<id>/models_reg/<k>_<name>.obj .obj.mtl .jpg     <id>/dpmap/<k>_<name>.png
mesh/<id>/<k>_<name>.ply                         img/<id>/<k>_<name>/<view>.jpg, params.json
"""

import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from db.store import Store, hash_file
from processing.mesh_files import write_obj
from processing.progress import Progress, silent
from processing.registration.template import Template
from processing.release import documents
from processing.release.croissant import CROISSANT, croissant
from processing.release.documents import ReleaseFacts, ReliefEncoding
from processing.release.errors import ReleaseError
from processing.release.select import SelectedSubject, SelectedTake, Selection
from processing.stages.files import read_vertices


def export(
    selection: Selection, store: Store, folder: Path, facts: ReleaseFacts, *, progress: Progress = silent
) -> list[str]:
    """Write everything but the manifest into an empty folder; the paths written, sorted.

    Every copy from the store is checked against its hash. Raises ReleaseError, and what the store raises.
    """
    load = lru_cache(maxsize=4)(lambda sha256: Template.load(store.local_path(sha256)))
    total = sum(len(subject.takes) for subject in selection.subjects)
    done = 0
    for subject in selection.subjects:
        for take in subject.takes:
            progress(0.98 * done / total, f"{subject.code} {take.label}")
            _export_take(subject, take, store, folder, load(take.template))
            done += 1
    progress(0.99, "lists and datasheet")
    _export_texts(selection, folder, facts)
    return sorted(_files(folder))


def view_params(
    calibration: Mapping[str, Any], photographs: Mapping[int, str | None], sizes: Mapping[int, tuple[int, int]]
) -> dict[str, Any]:
    """FaceScape's params.json of one take, all nine keys for every calibrated view.

    photographs: view -> serial of its camera.  sizes: view -> (width, height).  A view without a photograph is kept
    and marked invalid. Raises ReleaseError for a photograph that no calibration covers.
    """
    calibrated = {int(key.removesuffix("_K")) for key in calibration if key.endswith("_K")}
    uncovered = sorted(photographs.keys() - calibrated)
    if uncovered:
        raise ReleaseError(f"The calibration has no view {', '.join(map(str, uncovered))}; calibrate the rig again")
    params: dict[str, Any] = {}
    for view in sorted(calibrated):
        there = view in photographs
        width, height = sizes.get(view, (calibration.get(f"{view}_width", 0), calibration.get(f"{view}_height", 0)))
        params |= {
            f"{view}_K": calibration[f"{view}_K"],
            f"{view}_Rt": calibration[f"{view}_Rt"],
            f"{view}_distortion": calibration.get(f"{view}_distortion", [0.0] * 5),
            f"{view}_width": width,
            f"{view}_height": height,
            f"{view}_matches": calibration.get(f"{view}_matches", 0),
            f"{view}_valid": there and bool(calibration.get(f"{view}_valid", True)),
            f"{view}_sn": (photographs.get(view) or calibration.get(f"{view}_sn", "")),
            f"{view}_ori": f"{view}.jpg",
        }
    return params


def read_relief_encoding(path: Path) -> ReliefEncoding:
    """What a displacement map says of its own encoding. Raises ReleaseError when it is not 16-bit grey or is silent."""
    with Image.open(path) as image:
        mode, said = image.mode, {str(key): str(value) for key, value in getattr(image, "text", {}).items()}
    try:
        encoding = ReliefEncoding(float(said["scale_mm"]), int(said["midpoint"]), said["formula"])
    except (KeyError, ValueError) as error:
        raise ReleaseError(f"{path.name} does not say its displacement scale ({error}); bake it again") from None
    if not mode.startswith("I"):
        raise ReleaseError(f"{path.name}: displacement maps are 16-bit grey PNG, this one is {mode}")
    return encoding


def _export_take(subject: SelectedSubject, take: SelectedTake, store: Store, folder: Path, template: Template) -> None:
    own, label = folder / str(subject.index), take.label
    mesh = template.mesh.with_vertices(read_vertices(store.local_path(take.mesh)))
    (own / "models_reg").mkdir(parents=True, exist_ok=True)
    write_obj(own / "models_reg" / f"{label}.obj", mesh, texture=f"{label}.jpg")
    store.copy(take.texture, own / "models_reg" / f"{label}.jpg")
    store.copy(take.displacement, own / "dpmap" / f"{label}.png")
    store.copy(take.scan, folder / "mesh" / str(subject.index) / f"{label}.ply")
    if subject.publishable:
        _export_photographs(take, store, folder / "img" / str(subject.index) / label)


def _export_photographs(take: SelectedTake, store: Store, folder: Path) -> None:
    sizes: dict[int, tuple[int, int]] = {}
    for view, photograph in take.photographs.items():
        path = folder / f"{view}.jpg"
        store.copy(photograph.sha256, path)
        with Image.open(path) as image:
            sizes[view] = image.size
    serials = {view: photograph.serial for view, photograph in take.photographs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "params.json", view_params(take.params, serials, sizes))


def _export_texts(selection: Selection, folder: Path, facts: ReleaseFacts) -> None:
    subjects = selection.subjects
    relief = _relief(selection, folder)
    templates = sorted({take.template for subject in subjects for take in subject.takes})
    texts = {
        documents.INFO_LIST: documents.info_list(subjects),
        documents.PUBLISHABLE_LIST: documents.publishable_list(subjects),
        documents.SUBJECTS: documents.subjects_csv(subjects),
        documents.MISSING: documents.missing_csv(selection),
        documents.DATASHEET: documents.datasheet(facts, selection, relief),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    _write_json(folder / documents.CONVENTIONS, documents.conventions(relief, templates))
    described = {name: ((folder / name).stat().st_size, hash_file(folder / name)) for name in texts}
    _write_json(folder / CROISSANT, croissant(facts, selection.day.isoformat(), described))


def _relief(selection: Selection, folder: Path) -> ReliefEncoding:
    """The encoding that all displacement maps of the release share. Raises ReleaseError where they differ."""
    shared: ReliefEncoding | None = None
    for subject in selection.subjects:
        for take in subject.takes:
            encoding = read_relief_encoding(folder / str(subject.index) / "dpmap" / f"{take.label}.png")
            if shared is not None and encoding != shared:
                raise ReleaseError(
                    f"The displacement map of {take.code} has scale {encoding.scale_mm} mm around {encoding.midpoint}, "
                    f"earlier ones {shared.scale_mm} mm around {shared.midpoint}; process all with the same stages"
                )
            shared = encoding
    if shared is None:
        raise ReleaseError("No take was selected: there is nothing to release")
    return shared


def _files(folder: Path) -> Iterator[str]:
    for at, _, names in os.walk(folder):
        for name in names:
            yield (Path(at) / name).relative_to(folder).as_posix()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
