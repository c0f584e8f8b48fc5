"""The weights of each take as a document."""

from typing import Any

from processing.face_models.blendshapes.rig import Rig


def weights_document(rig: Rig) -> dict[str, Any]:
    """The weights of each take as JSON has them: {"units": [...], "takes": {label: {unit: weight above 0}}}."""
    takes = {
        label: {name: round(float(w), 5) for name, w in zip(rig.names, row, strict=True) if w > 5e-6}
        for label, row in zip(rig.examples, rig.weights, strict=True)
    }
    return {"units": list(rig.names), "takes": takes}
