"""USD: a face with its neutral, a UsdSkel blend shape an expression, its texture beside the file.

Lengths are millimetres, metersPerUnit 0.001. A blend shape holds the vertices that it moves, by their numbers.

UVs are face-varying, so vertices keep the topology's numbers. Needs the `usd` extra (usd-core).
"""

from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats32
from common.files.atomic_write import atomic_write
from processing.files.morph_targets.morph_target_model import (
    ExportError,
    MorphTargetModel,
    moved_vertices,
    vertex_normals,
)

SECONDS = 0.6  # that a target is played for, there and back
_FRAMES = 30


def write_usd(path: Path, model: MorphTargetModel) -> None:
    """`path`, and <name>.jpg beside it where there is a texture, whole or not at all.

    Raises ExportError without usd-core.
    """
    try:
        from pxr import Usd, UsdGeom
    except ImportError:
        raise ExportError("USD needs usd-core: pip install 'mien[usd]'") from None
    texture = path.with_suffix(".jpg")
    if model.texture is not None:
        with atomic_write(texture) as temporary:
            temporary.write_bytes(model.texture)
    with atomic_write(path) as temporary:
        temporary.unlink()
        stage = Usd.Stage.CreateNew(str(temporary))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 0.001)
        root = _define_root(stage, model)
        normals = vertex_normals(model.neutral, model.topology.triangles)
        mesh = _define_face(stage, root, model, normals)
        _define_targets(stage, root, mesh, model, normals)
        if model.texture is not None:
            _define_material(stage, root, mesh, texture.name)
        stage.GetRootLayer().Save()


def _define_root(stage: Any, model: MorphTargetModel) -> Any:
    """The subject's prim, with release and rights."""
    from pxr import UsdSkel

    root = UsdSkel.Root.Define(stage, f"/{model.name}")
    stage.SetDefaultPrim(root.GetPrim())
    for key, value in model.facts.items():
        root.GetPrim().SetCustomDataByKey(key, value)
    if model.rights is None:
        return root
    rights = {
        "licence": model.rights.licence,
        "licence_text": model.rights.licence_text,
        "creators": ", ".join(model.rights.creators),
        "citation": model.rights.citation,
    }
    for key, value in rights.items():
        root.GetPrim().SetAssetInfoByKey(key, value)
    stage.GetRootLayer().customLayerData = rights | {"release": model.rights.release}
    stage.GetRootLayer().comment = model.rights.notice
    return root


def _define_face(stage: Any, root: Any, model: MorphTargetModel, normals: Floats32) -> Any:
    """The neutral face with its UVs. normals: (V, 3)."""
    from pxr import Sdf, UsdGeom, Vt

    topology = model.topology
    mesh = UsdGeom.Mesh.Define(stage, root.GetPath().AppendChild("face"))
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(model.neutral)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(topology.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(topology.triangles.ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(_extent(model))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    uvs = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    uvs.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(topology.uvs)))
    uvs.SetIndices(Vt.IntArray.FromNumpy(topology.uv_triangles.ravel()))
    return mesh


def _define_targets(stage: Any, root: Any, mesh: Any, model: MorphTargetModel, normals: Floats32) -> None:
    """A skeleton of one joint that holds still, which UsdSkel asks for, and the blend shapes at rest."""
    from pxr import Gf, UsdSkel, Vt

    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    skeleton = UsdSkel.Skeleton.Define(stage, root.GetPath().AppendChild("skeleton"))
    skeleton.CreateJointsAttr(["head"])
    skeleton.CreateBindTransformsAttr([Gf.Matrix4d(1)])
    skeleton.CreateRestTransformsAttr([Gf.Matrix4d(1)])
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(constant=True, elementSize=1).Set(Vt.IntArray([0]))
    binding.CreateJointWeightsPrimvar(constant=True, elementSize=1).Set(Vt.FloatArray([1.0]))
    shapes = []
    for name in model.targets:
        moved = moved_vertices(model, name, normals)
        shape = UsdSkel.BlendShape.Define(stage, mesh.GetPath().AppendChild(name))
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(moved.offsets)))
        shape.CreateNormalOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(moved.normals)))
        if len(moved.vertices) < len(model.neutral):
            shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(moved.vertices)))
        shapes.append(shape.GetPath())
    if shapes:
        binding.CreateBlendShapesAttr(list(model.targets))
        binding.CreateBlendShapeTargetsRel().SetTargets(shapes)
        animation = UsdSkel.Animation.Define(stage, root.GetPath().AppendChild("weights"))
        animation.CreateBlendShapesAttr(list(model.targets))
        _define_weights(stage, animation.CreateBlendShapeWeightsAttr(), len(shapes), plays=model.plays)
        UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])


def _define_weights(stage: Any, weights: Any, count: int, *, plays: bool) -> None:
    """At rest; where it plays, each target rises and falls, one after another."""
    from pxr import Vt

    rest = np.zeros(count, np.float32)
    weights.Set(Vt.FloatArray.FromNumpy(rest))
    if not plays:
        return
    half = SECONDS * _FRAMES / 2
    for key in range(2 * count + 1):
        one = rest.copy()
        if key % 2:
            one[key // 2] = 1
        weights.Set(Vt.FloatArray.FromNumpy(one), key * half)
    stage.SetFramesPerSecond(_FRAMES)
    stage.SetTimeCodesPerSecond(_FRAMES)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(2 * count * half)


def _define_material(stage: Any, root: Any, mesh: Any, texture: str) -> None:
    """A surface that shows the texture, a file beside this one."""
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, root.GetPath().AppendChild("skin"))
    surface = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.6)
    image = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("texture"))
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(f"./{texture}"))
    image.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    uvs = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("st"))
    uvs.CreateIdAttr("UsdPrimvarReader_float2")
    uvs.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    found = uvs.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(found)
    colour = image.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    shaded = surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
    material.CreateSurfaceOutput().ConnectToSource(shaded)
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _extent(model: MorphTargetModel) -> list[tuple[float, ...]]:
    """Of the neutral face and all targets: lowest and highest corner, mm."""
    faces = [model.neutral, *model.targets.values()]
    least = np.min([face.min(axis=0) for face in faces], axis=0)
    most = np.max([face.max(axis=0) for face in faces], axis=0)
    return [tuple(map(float, least)), tuple(map(float, most))]
