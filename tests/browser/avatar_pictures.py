"""docs/images/avatar.jpg: a photograph of a synthetic person who is in no study, and the avatar in a browser.

    PYTHONPATH=.:tests/support:benchmarks python tests/browser/avatar_pictures.py \
        PEOPLE/S103 --model model.npz --weights avatar.safetensors docs/images/avatar.jpg

PEOPLE as `benchmarks/face_study_model.py --people` writes it: numbers from 100 on are held back.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from avatar_page import avatar_page
from avatar_photographs import photographed, read_person

from processing.avatars.avatar_files import AvatarInputs, make_avatar_file

SMILE = {
    "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.25, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5,
    "browInnerUp": 0.4,
}  # fmt: skip
VIEWS = ((0, {}), (45, {}), (90, {}), (15, SMILE))
WIDTH_PX = 1500
_BACK = (248, 246, 244)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("person", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--yaw", type=float, default=-12.0)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    image = photographed(*read_person(asked.person), asked.yaw, 5, "studio")
    rows: list[list[np.ndarray]] = [[], []]
    with tempfile.TemporaryDirectory() as name:
        photograph, out = Path(name) / "photograph.png", Path(name) / "avatar.glb"
        cv2.imwrite(str(photograph), image)
        make_avatar_file(AvatarInputs(photograph, asked.model, asked.weights), out)
        with avatar_page(out, size_px=640) as page:
            for yaw, weights in VIEWS:
                for row, plain in zip(rows, (False, True), strict=True):
                    page.evaluate("(given) => window.avatar.show(...given)", [yaw, weights, plain])
                    shot = cv2.imdecode(np.frombuffer(page.locator("#c").screenshot(), np.uint8), cv2.IMREAD_COLOR)
                    row.append(shot[40:600, 90:550])
    heads = np.vstack([np.hstack(row) for row in rows])
    small = cv2.resize(image[:, 90:810], None, fx=560 / 900, fy=560 / 900, interpolation=cv2.INTER_AREA)
    left = np.full((len(heads), small.shape[1], 3), _BACK, np.uint8)
    left[280:840] = small
    picture = np.hstack([left, heads])
    factor = WIDTH_PX / picture.shape[1]
    picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(asked.out), picture, [cv2.IMWRITE_JPEG_QUALITY, 86])


if __name__ == "__main__":
    main()
