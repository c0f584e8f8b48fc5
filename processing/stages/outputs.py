"""The outputs of Mien's stages that others read: reports, releases, commands. A test holds it to what the stages make.

It imports no stage, so that commands which only read records start without the numerics.
"""

from typing import NamedTuple


class OutputName(NamedTuple):
    """An output of a stage, as results and records name it."""

    stage: str
    output: str


PREVIEW = "preview"

SCAN = OutputName("reconstruct", "scan")
SCAN_REPORT = OutputName("reconstruct", "report")
SCAN_REVIEW = OutputName("reconstruct", "review")
SCAN_PICTURE = OutputName("reconstruct", "quality")
LOOK = OutputName("first_look", "scan")
LOOK_MESH = OutputName("first_look", "mesh")
LOOK_REPORT = OutputName("first_look", "report")
LANDMARKS = OutputName("landmarks", "landmarks")
MESH = OutputName("register", "mesh")
MESH_REPORT = OutputName("register", "report")
MESH_REVIEW = OutputName("register", "review")
MESH_PICTURE = OutputName("register", "quality")
APPEARANCE = OutputName("register", "appearance")
TEXTURE = OutputName("texture", "texture")
TEXTURE_SEEN = OutputName("texture", "seen")
DISPLACEMENT = OutputName("bake", "displacement")
DISPLACEMENT_EXR = OutputName("bake", "exr")
RIG = OutputName("blendshapes", "rig")
RIG_WEIGHTS = OutputName("blendshapes", "weights")
RIG_REPORT = OutputName("blendshapes", "report")
RIG_REVIEW = OutputName("blendshapes", "review")
RIG_PICTURE = OutputName("blendshapes", "quality")
MODEL = OutputName("bilinear", "model")
MODEL_CARD = OutputName("bilinear", "card")
MODEL_CARD_DATA = OutputName("bilinear", "card_data")
MODEL_PICTURE = OutputName("bilinear", "quality")
TAKE_FIGURES = OutputName(PREVIEW, "quality")
# Pictures for a person -> what is said of them, in the order of a report.
CAPTIONS = {
    OutputName(PREVIEW, "contact"): "photographs",
    OutputName(PREVIEW, "scan"): "scan",
    SCAN_PICTURE: "scan: shaded, by how many cameras see each place, and the cameras themselves",
    OutputName(PREVIEW, "mesh"): "registered mesh",
    OutputName(PREVIEW, "textured"): "registered mesh with its texture",
    OutputName(PREVIEW, "heat"): "distance of the registered mesh with its relief to the scan",
    OutputName(PREVIEW, "landmarks"): "landmarks, projected into photographs",
    OutputName(PREVIEW, "displacement"): "displacement map",
    RIG_PICTURE: "rig: the subject's units, and the distance of its expressions to the rig",
}
# What a stage says of its own result, under the same names whatever the stage: a verdict, and a picture of it.
REVIEW, REVIEW_PICTURE = "review", "quality"
