"""Models that tell whether photographs show one person: YuNet and SFace, their hashes checked. See data/README.md."""

import hashlib
from importlib.resources import files

from controller.errors import ConfigurationError

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
RECOGNISER = "face_recognition_sface_2021dec_int8bq.fixed.onnx"
SHA256 = {
    DETECTOR: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    RECOGNISER: "487a139eb85ccd5ff30aef7d0add7f12d2bb7abb90c5f08a7f481b452a660e00",
}


def model_bytes(name: str) -> bytes:
    """A model, as released. Raises ConfigurationError when it is not there or another one."""
    try:
        data = (files(__name__) / "data" / name).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the model {name} cannot be read ({error}); install Mien again") from None
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise ConfigurationError(f"the model {name} is damaged (its sha256 differs); install Mien again")
    return data
