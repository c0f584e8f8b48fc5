"""The keys of Mien's own stages stay what they were: everything that a farm has made would be made anew otherwise.

Written down from the stages as they were; a new stage has none to keep. A stage whose version rises gets new keys, and
so do those behind it:
`plan(TAKES, "t" * 64, discover(), CHANGED)` gives them.
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
        "review_noise": 0.4, "redo_noise": 0.9,
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
    ("1_neutral", "reconstruct"): "d8893bf967f15b5d70015ad4c2ced186801d46aee71abab8e62263daa0bbc2cd",
    ("1_neutral", "landmarks"): "879f3f0a92e26134fa24798b529012fa94e727d158359b622f2693a8eefd9584",
    ("1_neutral", "register"): "38d79ddb8f2bcc77a710f242578138dd7e0957be12e8c8a92348466ed5a4119c",
    ("1_neutral", "bake"): "437d45980f98c4140cba8895e802df54d53b0611dde81db3fa3c04836d36241a",
    ("1_neutral", "texture"): "53489bd4a9037768ccbdcdec54a76433dcc1796d5a71f85f80f9cd21633be9ce",
    ("1_neutral", "preview"): "c6034fe901424fa817f22598287cc93a4c8c7bd584a5da1c8c19091cec38bc85",
    ("2_smile", "reconstruct"): "989272ff7260b69a400a229d527640d115179514fa78ea8a5134d134e170522d",
    ("2_smile", "landmarks"): "a1dd013111d0bcbcf57f94e262653991f6c371765964944a25e1fec9587ad660",
    ("2_smile", "register"): "f617095e408142dffcb91f9c7f8991429b94c9190a96d1ecd2bee189d22f47f1",
    ("2_smile", "bake"): "af1cc9d99594bb8afb9b0ec0746fd6f3992879dd059e96fd6e8ef96b9483ea13",
    ("2_smile", "texture"): "e517668ac4a76dcb1d87d5c1c5312090c5a179c0c3071e27a331d47eef3108bd",
    ("2_smile", "preview"): "973c89e505233656facad1417d2c1962fc46fc0fd3b2d498b343461ba32bef88",
}
WITH_CHANGES = {
    ("1_neutral", "reconstruct"): "53869acc8af47c306bb348e1e82ab3d3d46eeb85ddd497e390283ace90877dae",
    ("1_neutral", "landmarks"): "956435f2f588014b213ae57bf81d5d08aeb27363826ab9d39fddf0f8a515be3c",
    ("1_neutral", "register"): "127e7c82345ad8bc8395c2d17bd4f85e879dec04f9ba01bf682dad52968a08a4",
    ("1_neutral", "bake"): "12fd27f26fc4d480f170505a3b72fd505ea6109386b03a0ccaf2509afdf6c6d4",
    ("1_neutral", "texture"): "6118a24ef0b87afe781a1a0408b029c7e159c0f642e8810fde279c32e638f953",
    ("1_neutral", "preview"): "d0bc7c0dc4d674065908f91561e234232f70a3cd21d2a7b1958ca5f5fdf1fdb6",
    ("2_smile", "reconstruct"): "6d4461481ce174412fa40d5b5e3b85494c58d09fc6a941ff61fd806fe029a587",
    ("2_smile", "landmarks"): "9f90e09f0a630c09c03cdf3090261af7f95756d5f4beb8abeb0b815ef6bceec6",
    ("2_smile", "register"): "0bd04d5f4cc1e6bf43df18d21596a3e186762e544b8c938dd7a26d90ee0a7f7f",
    ("2_smile", "bake"): "e00991c70c521fbc286220c6b779438c0c2c25f10b4918bf63b58c168fc08a55",
    ("2_smile", "texture"): "0ac37c9bf4d0823ede87df7bae101024ac5c87840eb26f45e44965945633f0ee",
    ("2_smile", "preview"): "1024a8940ebd577262d8f7421859ff87c66d279168b53e84475f7ea2a6cf26f7",
}


@pytest.mark.parametrize(("params", "keys"), [({}, WITH_DEFAULTS), (CHANGED, WITH_CHANGES)])
def test_keys_are_those_of_the_results_that_farms_have_kept(
    params: dict[str, dict[str, object]], keys: dict[tuple[str, str], str]
) -> None:
    planned = {(run.take, run.stage): run.key for run in plan(TAKES, "t" * 64, discover(), params)}
    assert {of: planned.get(of) for of in keys} == keys


def test_groups_of_parameters_hold_what_was_given() -> None:
    params = discover()["reconstruct"].Params.from_mapping({"redo_noise": 0.9, "depth_views": 30, "refine": False})
    assert params.quality.noise == (0.3, 0.9)  # type: ignore[attr-defined]
    assert params.surface.depth_views == 30  # type: ignore[attr-defined]
    assert not params.cameras.refine  # type: ignore[attr-defined]
    assert params.to_mapping()["redo_noise"] == 0.9
