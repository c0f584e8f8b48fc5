"""MediaPipe's face landmark model, which studio and farm read: one file, its hash checked. See docs/decisions/0007."""

import hashlib
from importlib.resources import files

MODEL_FILE = "face_landmarker_v2.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


def model_bytes(problem: type[Exception]) -> bytes:
    """The model. Raises `problem` when it is not there or not the one released."""
    try:
        data = (files("common.landmark_model") / "data" / MODEL_FILE).read_bytes()
    except OSError as error:
        raise problem(f"the landmark model {MODEL_FILE} cannot be read ({error}); install Mien again") from None
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise problem(f"the landmark model {MODEL_FILE} is damaged (its sha256 differs); install Mien again")
    return data
