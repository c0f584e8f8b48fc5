"""The keys of Mien's own stages stay what they were: everything that a farm has made would be made anew otherwise.

Written down from the stages as they were; a new stage has none to keep. A stage whose version rises gets new keys, and
so do those behind it:
`plan(TAKES, {"template": "t" * 64}, discover(), CHANGED)` gives them.
"""

import pytest

from processing.farm.scheduling.stage_graph import TakeInput, plan
from processing.stages.discovery import discover

TAKES = [TakeInput("1_neutral", "neutral", "1" * 64), TakeInput("2_smile", "smile", "2" * 64)]
CHANGED = {
    "reconstruct": {
        "scale": 0.9, "max_megapixels": 4, "depth_views": 30, "spacing_px": 1.6, "subdivide": False, "vertices": None,
        "watch": False, "refine": False, "review_coverage": 0.8, "redo_coverage": 0.5, "review_holes": 0.05,
        "redo_holes": 0.2, "review_lost": 0.2, "redo_lost": 0.4, "review_offset": 2.0, "redo_offset": 7.0,
        "review_noise": 0.4, "redo_noise": 0.9, "review_estimated": 0.2, "redo_estimated": 0.6,
    },
    "landmarks": {"max_views": 12},
    "register": {
        "refine": False, "review_surface_mm": 0.3, "redo_surface_mm": 0.9, "review_lips_mm": 1.1, "redo_lips_mm": 2.2,
        "review_lids_mm": 1.3, "redo_lids_mm": 2.4, "review_slip_mm": 1.5, "redo_slip_mm": 2.6,
    },
    "texture": {"size_px": 512, "quality": 90},
    "bake": {"size_px": 512},
    "preview": {"height_px": 300, "most_mm": 1, "subdivisions": 1},
}  # fmt: skip
WITH_DEFAULTS = {
    ("1_neutral", "reconstruct"): "36ac7788cb6eb2700501ded674821a97fa5361ef53f0a32ef7b0b3e5bc4a7ddd",
    ("1_neutral", "landmarks"): "bd26cdf05aae7bbc1e0bf5b4e8e2e10efd5508f2fbf27daf0afa251f9dca7072",
    ("1_neutral", "register"): "5ce830dd700f958fe715921861e0f32bf994c235066e36b7186a3fd1b563264d",
    ("1_neutral", "bake"): "5e1e2f590028603e46d1361a573ee1812141e389679ee94c85816cff43384360",
    ("1_neutral", "texture"): "74c43cc47e77bbf5352125fe92c65d9fd54143543cbf336b4fe42bcfcbc6b60e",
    ("1_neutral", "preview"): "999574a1fb2a51af1f2e32f6756815dcc4fa499497ed6ffecf37097b5effee6d",
    ("2_smile", "reconstruct"): "5804dcb7e208ea3ee9458a7deddcc03d7d15f8857a9a2046cda4cd79747e3435",
    ("2_smile", "landmarks"): "58e52ea7e86b45ad2f67c02e6efcd3ddfd7c76cf83eac3468b6152e355ec8418",
    ("2_smile", "register"): "0b0fe4134da7d69eb62fab6cad696ca6b359c0cc8cfed2e33603a098d34955ce",
    ("2_smile", "bake"): "304d78ef8d23d99500faa1ee2f8187257fececda2babccb11a4d1e9498c99994",
    ("2_smile", "texture"): "96a5a71951616bbafcb9b654ce4b67a113cbac50a4fb41dbc4a45c51fd692ba9",
    ("2_smile", "preview"): "c17fc49dafd340e982ccb102029541407916463fce03b0d1c80eb137de78fb98",
}
WITH_CHANGES = {
    ("1_neutral", "reconstruct"): "c8260d4c185a7d475c12b39c07822cb933cadec49a947e0006960e5135bd0db3",
    ("1_neutral", "landmarks"): "7495f443340b8e6064282be146a8db8e4092c2c5fe22bfb24a9f37e97695096c",
    ("1_neutral", "register"): "06e77e0f716fb502783a7b05b481b32bb21753470c1663cb244da5c8eebd8d3c",
    ("1_neutral", "bake"): "6f78e837350684420bed536e5982565d8e9ee66450868f5af98ceed4be450255",
    ("1_neutral", "texture"): "15bb53104966d72af522592705b93f96265934021a9a83769286e8ce3b80f808",
    ("1_neutral", "preview"): "338427af42cbd62e4178b3ac960b888d5c40fc68983f9a822a90e9414d11ad57",
    ("2_smile", "reconstruct"): "3365fe98371819db21c0e8274d0e41da6359f52bfeb7cc4333f73f482ccfe979",
    ("2_smile", "landmarks"): "f7a019ecbd7703146d4db3041aa0b3a4860ed0591ed64723599183d557ca0e14",
    ("2_smile", "register"): "a8c7a5d17b77210375236da51d46416cf8a56e2265f4e6816a02e6edc0cea43a",
    ("2_smile", "bake"): "5284b2d32b70c6c47963c5728757f5ca22fe0cbc187cb9b2fbc7ca3a746e434c",
    ("2_smile", "texture"): "17bc525fb07cddf3f795083e5fd0e3a5cf0a570713784843a70d0101132ea755",
    ("2_smile", "preview"): "e16f767629d8ba466f58549a41527aff4fc1fa96b6dd1361538ef6efede65374",
}


@pytest.mark.parametrize(("params", "keys"), [({}, WITH_DEFAULTS), (CHANGED, WITH_CHANGES)])
def test_keys_are_those_of_the_results_that_farms_have_kept(
    params: dict[str, dict[str, object]], keys: dict[tuple[str, str], str]
) -> None:
    planned = {(run.take, run.stage): run.key for run in plan(TAKES, {"template": "t" * 64}, discover(), params)}
    assert {of: planned.get(of) for of in keys} == keys


def test_groups_of_parameters_hold_what_was_given() -> None:
    params = discover()["reconstruct"].Params.from_mapping({"redo_noise": 0.9, "depth_views": 30, "refine": False})
    assert params.quality.noise == (0.3, 0.9)  # type: ignore[attr-defined]
    assert params.surface.depth_views == 30  # type: ignore[attr-defined]
    assert not params.cameras.refine  # type: ignore[attr-defined]
    assert params.to_mapping()["redo_noise"] == 0.9
