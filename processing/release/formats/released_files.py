"""Table of released files: an entry for each, read by all that makes, lists, asks for or withdraws files.

An output of a stage becomes part of releases by an entry in LAYOUT: the selection then looks for it, the export copies
it, manifest, Croissant and conventions.json have it, fetch and grants know its kind, tombstones name it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache


@dataclass(frozen=True)
class ReleasedFile:
    """A file that a release has of each take, of each view of a take, of each subject, or of each model of a study."""

    #: How the export, the lists and messages call it; unique.
    name: str
    #: In a release. {index}: the subject's folder; {label}: the expression, '2_smile'; {view}: of a photograph; or
    #: {model}: a model's name and version, 'faces-2', which is of no subject.
    path: str
    #: What a holder asks for and a grant allows; kinds come in the order in which they first stand here.
    kind: str
    #: The stage whose output it is; empty where the export makes it of other files.
    stage: str = ""
    #: The name of that output.
    output: str = ""
    #: Whether a take without it stays in the studio.
    required: bool = False
    #: Whether a person's eyes can be seen in it, so that it leaves mosaicked or not at all where that was asked for.
    shows_eyes: bool = False
    #: What a tombstone calls it among what is to be deleted, where that is a pattern for several files.
    deleted_as: str = ""
    #: Its set of files in Croissant; empty where Croissant does not describe it.
    file_set: str = ""
    #: What it is, for people; empty as well then.
    description: str = ""
    #: Its media type.
    media: str = ""
    #: What its numbers mean: a section of conventions.json under its name.
    conventions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        before, label, after = self.path.partition("{label}")
        whose = {owner for owner in ("{index}", "{model}") if owner in before + after}
        if len(whose) != 1 or (label and (after[:1] not in (".", "/") or self.of_study)):
            raise ValueError(
                f"{self.path}: a released file's path has {{index}}, and '.' or '/' behind {{label}}; or {{model}}"
            )

    def at(self, index: int | str = "", label: str = "", view: int | str = "", *, model: str = "") -> str:
        """The path of one such file."""
        return self.path.format(index=index, label=label, view=view, model=model)

    def place(self, index: int | str, label: str) -> str:
        """The file, or its folder where a take has a folder of them: 'img/1/2_smile'."""
        return self._place.format(index=index, label=label)

    @property
    def of_take(self) -> bool:
        """Whether takes have it, not subjects."""
        return "{label}" in self.path

    @property
    def of_study(self) -> bool:
        """Whether models have it, which are of many subjects."""
        return "{model}" in self.path

    @property
    def root(self) -> str:
        """The folder in which everything of a subject, or of a model, lies that lies beside it: 'mesh/{index}'; or the
        file itself."""
        head, index, tail = self.path.partition("{model}" if self.of_study else "{index}")
        return head + index if tail.startswith("/") else self.path

    @property
    def glob(self) -> str:
        """A pattern that all of them fit."""
        return self.path.format(index="*", label="*", view="*", model="*")

    @property
    def kind_glob(self) -> str:
        """A pattern of what is of its kind: where a take has a folder of them, all that lies there."""
        return self.glob if self._place == self.path else f"{self.place('*', '*')}/*"

    @property
    def tombstone_pattern(self) -> str:
        """What a tombstone names, {index} and {label} open."""
        return self.deleted_as or self._place

    def match(self, path: str) -> re.Match[str] | None:
        """The groups `index`, `label` and `view` (those that its path has) where `path` is one of these files."""
        return _pattern(self.path).fullmatch(path)

    @property
    def _place(self) -> str:
        head, label, tail = self.path.partition("{label}")
        return head + label if tail.startswith("/") else self.path


MESH = ReleasedFile(
    "mesh", "{index}/models_reg/{label}.obj", "mesh", "register", "mesh", required=True,
    deleted_as="{index}/*/{label}.*", file_set="meshes", description="Registered meshes, all of one topology",
    media="model/obj",
)  # fmt: skip
MATERIAL = ReleasedFile(
    "material", "{index}/models_reg/{label}.obj.mtl", "mesh", deleted_as="{index}/*/{label}.*", media="model/mtl"
)
TEXTURE = ReleasedFile(
    "texture", "{index}/models_reg/{label}.jpg", "texture", "texture", "texture", required=True, shows_eyes=True,
    deleted_as="{index}/*/{label}.*", file_set="textures", description="Textures of the registered meshes",
    media="image/jpeg",
)  # fmt: skip
DISPLACEMENT = ReleasedFile(
    "displacement", "{index}/dpmap/{label}.png", "displacement", "bake", "displacement", required=True,
    deleted_as="{index}/*/{label}.*", file_set="displacements",
    description="Displacement maps of the registered meshes", media="image/png",
)  # fmt: skip
DISPLACEMENT_EXR = ReleasedFile(
    "displacement_exr", "{index}/dpmap/{label}.exr", "exr", "bake", "exr", deleted_as="{index}/*/{label}.*",
    file_set="displacements-exr", description="Displacement maps in millimetres, not rounded", media="image/x-exr",
)  # fmt: skip
SCAN = ReleasedFile(
    "scan", "mesh/{index}/{label}.ply", "scan", "reconstruct", "scan", required=True, shows_eyes=True,
    deleted_as="mesh/{index}/{label}.*", file_set="scans", description="Scans", media="model/ply",
    conventions={
        "confidence": "a vertex property `confidence` (0 to 1) where the reconstruction gave one: 1 where several "
        "views agree sharply, 0.5 where photographs say it weakly; below, the place was estimated from what lies "
        "around it, towards 0 the farther a measurement is"
    },
)  # fmt: skip
PHOTOGRAPH = ReleasedFile(
    "photographs", "img/{index}/{label}/{view}.jpg", "photographs", shows_eyes=True, file_set="photographs",
    description="Photographs by subject, expression and view", media="image/jpeg",
)  # fmt: skip
CAMERAS = ReleasedFile(
    "cameras", "img/{index}/{label}/params.json", "photographs", file_set="cameras",
    description="Cameras of each expression's photographs", media="application/json",
)  # fmt: skip
FACTS = ReleasedFile(
    "facts", "meta/{index}/{label}.json", "facts", file_set="facts", description="What is said of each expression",
    media="application/json",
)  # fmt: skip
LANDMARK_CHECK = ReleasedFile("check", "checks/{index}.png", "facts", media="image/png")
RIG = ReleasedFile(
    "rig", "rigs/{index}/rig.npz", "rigs", "blendshapes", "rig", file_set="rigs",
    description="Rigs: a subject's neutral face and 52 blendshapes, named as ARKit's", media="application/x-npz",
    conventions={
        "shapes_mm": "(V, 53, 3) float32: the neutral, then each unit at weight 1 as positions (not offsets), in the "
        "template frame, head motion taken out; vertices as in topology/",
        "equation": "face = neutral + sum_j w_j (shape_j - neutral), w_j from 0 to 1",
        "head": "JSON: names of the units in order, topology, labels of the takes that it was made from",
    },
)  # fmt: skip
RIG_WEIGHTS = ReleasedFile(
    "rig_weights", "rigs/{index}/weights.json", "rigs", "blendshapes", "weights", file_set="rig-weights",
    description="Weights of the 52 units in each expression of a subject", media="application/json",
)  # fmt: skip
RIG_GLB = ReleasedFile(
    "rig_glb", "rigs/{index}/rig.glb", "rigs", file_set="rigs-gltf",
    description="The rigs as glTF: 52 morph targets, metres, grey", media="model/gltf-binary",
)  # fmt: skip
MODEL = ReleasedFile(
    "model", "models/{model}/model.npz", "models", "bilinear", "model", file_set="models",
    description="Face models: identity parameters and expression weights to a face", media="application/x-npz",
    conventions={
        "equation": "shapes = core . identity, face = neutral + sum_j w_j (shape_j - neutral); read it with Mien's "
        "read_model, or as arrays: every name and shape is in `head`",
        "length_unit": "millimetre",
    },
)  # fmt: skip
MODEL_CARD = ReleasedFile(
    "model_card", "models/{model}/card.md", "models", "bilinear", "card", file_set="model-cards",
    description="Who is in a model, by age and gender, and what it must not be used for", media="text/markdown",
)  # fmt: skip
MODEL_CARD_DATA = ReleasedFile(
    "model_card_data", "models/{model}/card.json", "models", "bilinear", "card_data", media="application/json"
)
MODEL_PICTURE = ReleasedFile(
    "model_picture", "models/{model}/picture.png", "models", "bilinear", "quality", media="image/png"
)
MODEL_FACESCAPE = ReleasedFile(
    "model_facescape", "models/{model}/facescape.npz", "models", media="application/x-npz", file_set="models-facescape",
    description="Face models as FaceScape's own code reads them",
)  # fmt: skip


@dataclass(frozen=True)
class SharedFile:
    """A file that a release has once, of nobody: lists, texts, metadata; every holder gets it."""

    #: In a release.
    path: str
    #: Its media type.
    media: str
    #: Whether Croissant describes it by its size and hash.
    described: bool = False
    #: Whether it stays readable beside the archives where a release is packed.
    beside_archives: bool = False


SUBJECTS = SharedFile("subjects.csv", "text/csv", described=True)
TAKES = SharedFile("takes.csv", "text/csv", described=True)
INFO_LIST = SharedFile("info_list.txt", "text/plain", described=True)
PUBLISHABLE_LIST = SharedFile("publishable_list.txt", "text/plain")
MOSAICKED_LIST = SharedFile("mosaicked_list.txt", "text/plain")
MISSING = SharedFile("missing.csv", "text/csv")
TOMBSTONES = SharedFile("tombstones.csv", "text/csv")
NO_LONGER = SharedFile("no_longer_part.csv", "text/csv")
RT_SCALE = SharedFile("Rt_scale_dict.json", "application/json")
CARD = SharedFile("README.md", "text/markdown", beside_archives=True)
DATASHEET = SharedFile("datasheet.md", "text/markdown", beside_archives=True)
HISTOGRAM = SharedFile("histogram.svg", "image/svg+xml")
LICENCE = SharedFile("LICENCE.txt", "text/plain", beside_archives=True)
CROISSANT = SharedFile("croissant.json", "application/ld+json", beside_archives=True)
DATACITE = SharedFile("datacite.json", "application/json", beside_archives=True)
CONVENTIONS = SharedFile("conventions.json", "application/json", beside_archives=True)
PUBLIC_KEY = SharedFile("release.pub", "text/plain")

SHARED_FILES = (
    SUBJECTS, TAKES, INFO_LIST, PUBLISHABLE_LIST, MOSAICKED_LIST, MISSING, TOMBSTONES, NO_LONGER, RT_SCALE, CARD,
    DATASHEET, HISTOGRAM, LICENCE, CROISSANT, DATACITE, CONVENTIONS, PUBLIC_KEY,
)  # fmt: skip
# Of the topologies and rigs of a release, of which there may be one or several.
TOPOLOGY = "topology/{topology}.json"
TOPOLOGY_ARRAYS = "topology/{topology}.npz"
TOPOLOGY_PICTURE = "topology/{topology}_landmarks.png"
CALIBRATION = "calibrations/{rig}-{calibration}.json"
PREDEF = "predef"  # FaceScape's name for the folder of its own topology's landmarks, masks and symmetry

SHARED_KIND = ""
PHOTOGRAPHS = PHOTOGRAPH.kind


class ReleaseLayout:
    """The table of released files, asked by kind, by subject and by take."""

    def __init__(self, files: tuple[ReleasedFile, ...]) -> None:
        self.files = files
        #: What a release has of each take.
        self.take_files = tuple(file for file in files if file.of_take)
        #: What a release has of each subject beside its takes: made of them.
        self.subject_files = tuple(file for file in files if not file.of_take and not file.of_study)
        #: What a release has of each model.
        self.study_files = tuple(file for file in files if file.of_study)
        #: What stages make of a take; the rest is made by the export, or of all takes.
        self.stage_files = tuple(file for file in files if file.stage and file.of_take)
        patterns: dict[str, dict[str, None]] = {}
        for file in files:
            patterns.setdefault(file.kind, {})[file.kind_glob] = None
        #: Kind -> patterns of its files.
        self.kinds = {kind: tuple(globs) for kind, globs in patterns.items()}
        #: What a grant allows where nobody says: everything but the photographs.
        self.default_kinds = tuple(kind for kind in self.kinds if kind != PHOTOGRAPHS)
        leads: dict[str, ReleasedFile] = {}
        for file in self.stage_files:
            leads.setdefault(file.stage, file)
        #: The first file of each stage; its name is also that of the stage's run.
        self.lead_files = tuple(leads.values())
        #: Stage -> name of its run among the runs that made a take.
        self.run_names = {stage: file.name for stage, file in leads.items()}
        self._roots = tuple(dict.fromkeys(file.root for file in files if not file.of_study))
        self._roots_of_takes = frozenset(file.root for file in self.take_files)
        self._study_folders = {file.root.partition("{model}")[0]: file.kind for file in self.study_files}

    def places(self, index: int, label: str) -> tuple[str, ...]:
        """Where what belongs to a take is: files, and a folder where a take has a folder of them."""
        return tuple(dict.fromkeys(file.place(index, label) for file in self.take_files))

    def roots(self, index: int) -> tuple[str, ...]:
        """Where all that a release has of a subject lies: folders, and files that are in none of them."""
        return tuple(root.format(index=index) for root in self._roots)

    def owner(self, path: str) -> tuple[str | None, str | None]:
        """Index and label that a file belongs to: '1/dpmap/2_smile.png' -> ('1', '2_smile'); None for what is nobody's.

        Everything in a subject's folder is the subject's, whether or not a release has such a file.
        """
        parts = path.split("/")
        if parts[0].isdecimal() and len(parts) > 2:
            return parts[0], parts[2].partition(".")[0]
        for root in self._roots:
            head, _, tail = root.partition("{index}")
            if not head or not path.startswith(head):
                continue
            inside = path.removeprefix(head).split("/")
            if not tail and len(inside) > 1:
                return inside[0], inside[1].partition(".")[0] if root in self._roots_of_takes else None
            if tail and len(inside) == 1:
                return inside[0].partition(".")[0], None
        return None, None

    def kind_of(self, path: str) -> str:
        """The kind of a file; SHARED_KIND where it is nobody's.

        What is a person's and of no known kind counts as a photograph: nobody gets it by mistake. What lies with the
        models is of their kind, whatever it is.
        """
        for folder, kind in self._study_folders.items():
            if path.startswith(folder):
                return kind
        if path.startswith(PHOTOGRAPH.path.partition("{index}")[0]):
            return PHOTOGRAPHS
        for kind, patterns in self.kinds.items():
            if any(fnmatchcase(path, pattern) for pattern in patterns):
                return kind
        return SHARED_KIND if self.owner(path)[0] is None else PHOTOGRAPHS


LAYOUT = ReleaseLayout(
    (
        MESH, MATERIAL, TEXTURE, DISPLACEMENT, DISPLACEMENT_EXR, SCAN, PHOTOGRAPH, CAMERAS, FACTS, LANDMARK_CHECK,
        RIG, RIG_WEIGHTS, RIG_GLB, MODEL, MODEL_CARD, MODEL_CARD_DATA, MODEL_PICTURE, MODEL_FACESCAPE,
    )
)  # fmt: skip


def model_folder(name: str, version: int) -> str:
    """What stands for {model}: 'faces-2'."""
    return f"{name}-{version}"


@lru_cache(maxsize=64)
def _pattern(path: str) -> re.Pattern[str]:
    groups = {"index": r"(?P<index>\d+)", "label": r"(?P<label>\d+_\w+)", "view": r"(?P<view>\d+)"}
    groups["model"] = r"(?P<model>[a-z0-9][a-z0-9._-]*-\d+)"
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(groups[part] if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))
