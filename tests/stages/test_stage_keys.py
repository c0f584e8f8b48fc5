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
    ("1_neutral", "landmarks"): "879f3f0a92e26134fa24798b529012fa94e727d158359b622f2693a8eefd9584",
    ("1_neutral", "register"): "535b6bc720e93dfd29629a239365b8243bf00ed68b6675b41f0e4435cf1b63a3",
    ("1_neutral", "bake"): "a5dbecab086aa3818fe4266d62adefe6d6628d1395cff155685d1c611349dbb9",
    ("1_neutral", "texture"): "575acca8871fb3a9e77cc99a848779cd138bd3984f1572312410f1e19aedc059",
    ("1_neutral", "preview"): "7fd1a7fa9dd0708c6fdd0762c99285a6203a80dafc1d8c81d042de685caaa922",
    ("2_smile", "reconstruct"): "5804dcb7e208ea3ee9458a7deddcc03d7d15f8857a9a2046cda4cd79747e3435",
    ("2_smile", "landmarks"): "a1dd013111d0bcbcf57f94e262653991f6c371765964944a25e1fec9587ad660",
    ("2_smile", "register"): "2c42076802432776a0738d572456f11cecea845d93755cfecf2d0783c2056761",
    ("2_smile", "bake"): "32be4d84e0c43ae596f3ce7af41691ccfe72b108ef0825e1667d4c13f0df1049",
    ("2_smile", "texture"): "3c9a67da1a893e4d116242c4c644f75fd7c708c313995e78a376ff1c7afd3573",
    ("2_smile", "preview"): "4b0592a7b2a93e541c2b0aac074a88d3f8924edf73c3c944a141bab90ad453f6",
}
WITH_CHANGES = {
    ("1_neutral", "reconstruct"): "c8260d4c185a7d475c12b39c07822cb933cadec49a947e0006960e5135bd0db3",
    ("1_neutral", "landmarks"): "956435f2f588014b213ae57bf81d5d08aeb27363826ab9d39fddf0f8a515be3c",
    ("1_neutral", "register"): "5f6d458aa7ec0eeb792808e3e57dab1328b6f7c4190423525fa7a33b69209e4e",
    ("1_neutral", "bake"): "1ce9f6207a72f33cc66878b0b91c19367ceea1c0927838e7c82bf6ae6c7bf3fb",
    ("1_neutral", "texture"): "68a13b2c63eaa3cfcc443076508b39b2a0aadf875e6ad7c9820f1f6fc4b216d6",
    ("1_neutral", "preview"): "bab87d329878dc2980cf21aa631926b49efe7e5fafbe23c587d0dca0d2227c0f",
    ("2_smile", "reconstruct"): "3365fe98371819db21c0e8274d0e41da6359f52bfeb7cc4333f73f482ccfe979",
    ("2_smile", "landmarks"): "9f90e09f0a630c09c03cdf3090261af7f95756d5f4beb8abeb0b815ef6bceec6",
    ("2_smile", "register"): "609e1578622c7e6ed0cb7e426eebc28105fc4bdd84e19c655d774ae5188eb521",
    ("2_smile", "bake"): "7142e003457938c625dabcc17949cf4dacba75afad25817f01c4c1e2dee3662b",
    ("2_smile", "texture"): "825c08c41e1f0ec8734bdeb4cc3bcca6f49d14a4b95f2b0c20a82df22149aa7f",
    ("2_smile", "preview"): "9a663070edabd4f252223ab3cd89d677ff6db971c69eca5bc4ee3f63f4b1335d",
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
