"""YuNet and SFace, which find faces and tell them apart: two files, their hashes checked. See data/README.md.

SFace was trained on faces gathered from the web, whose people were not asked. What it computes of a face is biometric:
it belongs in no record, log or card.
"""

import hashlib
from importlib.resources import files

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
RECOGNISER = "face_recognition_sface_2021dec_int8bq.fixed.onnx"
SHA256 = {
    DETECTOR: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    RECOGNISER: "487a139eb85ccd5ff30aef7d0add7f12d2bb7abb90c5f08a7f481b452a660e00",
}


def model_bytes(name: str, problem: type[Exception]) -> bytes:
    """A model, as released. Raises `problem` when it is not there or another one."""
    try:
        data = (files(__name__) / "data" / name).read_bytes()
    except OSError as error:
        raise problem(f"the model {name} cannot be read ({error}); install Mien again") from None
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise problem(f"the model {name} is damaged (its sha256 differs); install Mien again")
    return data
