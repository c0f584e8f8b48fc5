"""The rigs and textures of a study's subjects -> its face model."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from common.files.atomic_write import write_whole
from common.progress import part
from processing.errors import DataError
from processing.face_models.bilinear.build_model import FEWEST, MemberTexture, ModelSettings, build_model
from processing.face_models.bilinear.colour_components import ColourMatching, ColourSettings
from processing.face_models.model_card import card_text, members_from_json
from processing.face_models.model_file import write_model
from processing.face_models.model_picture import draw_model
from processing.files.image_files import write_image
from processing.files.stage_files import read_json, write_json
from processing.stages.base import MEMBERS, TEMPLATE, Inputs, ParamsError, Resources, Scope, Stage, StageParams
from processing.template.face_units import ARKIT_UNITS
from processing.template.template_file import read_template

# Least and most; fewer subjects give fewer parameters.
_BOUNDS = {
    "number": (1, 1_000_000), "identities": (1, 10_000), "expressions": (0, 1 + len(ARKIT_UNITS)), "sweeps": (0, 100),
    "albedo_px": (8, 4096), "albedo_components": (1, 10_000),
}  # fmt: skip


class Bilinear(Stage):
    """model: identity, expression and colour of the study's subjects; card, card_data: what it is; quality: modes."""

    name, version = "bilinear", 1
    scope: ClassVar[Scope] = Scope.STUDY
    fewest: ClassVar[int] = FEWEST
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE,
        "members": MEMBERS,
        "rigs": "each:blendshapes.rig",
        "textures": "each:neutral:texture.texture",
        "seen": "each:neutral:texture.seen",
    }
    makes: ClassVar[Mapping[str, str]] = {"model": "npz", "card": "md", "card_data": "json", "quality": "png"}
    resources = Resources(ram_gb=3.5)

    class Params(StageParams):
        name: str = "model"  # the model's
        number: int = 1  # the model's version
        identities: int = 50
        expressions: int = 0  # 0: all
        sweeps: int = 4
        albedo_px: int = 256
        albedo_components: int = 50
        colour_matching: str = ColourMatching.EYES.value

        def __post_init__(self) -> None:
            """Before the rigs are made, which takes long. Raises ParamsError."""
            for name, (least, most) in _BOUNDS.items():
                if not least <= (value := getattr(self, name)) <= most:
                    raise ParamsError(f"bilinear.{name} is {value}; wanted {least} to {most}")
            if self.colour_matching not in (known := [matching.value for matching in ColourMatching]):
                raise ParamsError(
                    f"bilinear.colour_matching is '{self.colour_matching}'; wanted one of {', '.join(known)}"
                )

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        settings = _settings(params)
        try:
            members = members_from_json(read_json(inputs["members"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"{inputs['members']} lists no members of a study ({error})") from None
        seen = inputs.each("seen")
        textures = {code: MemberTexture(path, seen.get(code)) for code, path in inputs.each("textures").items()}
        model = build_model(
            read_template(inputs["template"]),
            inputs.each("rigs"),
            textures,
            members,
            settings,
            progress=part(inputs.progress, 0.0, 0.9),
        )
        write_model(out / "model.npz", model)
        write_whole(out / "card.md", card_text(model.name, model.version, model.card))
        write_json(out / "card_data.json", model.card.as_json())
        write_image(out / "quality.png", draw_model(model, progress=part(inputs.progress, 0.9, 1.0)))


def _settings(params: Bilinear.Params) -> ModelSettings:
    return ModelSettings(
        name=params.name,
        version=params.number,
        identities=params.identities,
        expressions=params.expressions,
        sweeps=params.sweeps,
        colour=ColourSettings(params.albedo_px, params.albedo_components, ColourMatching(params.colour_matching)),
    )
