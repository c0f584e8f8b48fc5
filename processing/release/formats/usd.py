"""A subject as USD: neutral face, a UsdSkel blend shape an expression, texture beside the file.

UVs are face-varying, so vertices keep the topology's numbers. Needs the `usd` extra (usd-core).
"""

from pathlib import Path

import numpy as np

from common.files.atomic_write import atomic_write
from processing.release.formats.errors import ReleaseError
from processing.release.formats.morph_targets import MorphTargetModel, vertex_normals


def write_usd(path: Path, rig: MorphTargetModel) -> None:
    """`path` and <name>.jpg beside it, whole or not at all. Raises ReleaseError without usd-core."""
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdSkel, Vt
    except ImportError:
        raise ReleaseError("USD needs usd-core: pip install 'mien[usd]'") from None
    texture = path.with_suffix(".jpg")
    with atomic_write(texture) as temporary:
        temporary.write_bytes(rig.texture)
    topology = rig.topology
    with atomic_write(path) as temporary:
        temporary.unlink()
        stage = Usd.Stage.CreateNew(str(temporary))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 0.001)
        root = UsdSkel.Root.Define(stage, f"/subject_{rig.index}")
        stage.SetDefaultPrim(root.GetPrim())
        root.GetPrim().SetCustomDataByKey("release", rig.release)
        root.GetPrim().SetCustomDataByKey("version", rig.version)
        rights = {
            "licence": rig.rights.licence,
            "licence_text": rig.rights.licence_text,
            "creators": ", ".join(rig.rights.creators),
            "citation": rig.rights.citation,
        }
        for key, value in rights.items():
            root.GetPrim().SetAssetInfoByKey(key, value)
        stage.GetRootLayer().customLayerData = rights | {"release": rig.rights.release}
        stage.GetRootLayer().comment = rig.rights.notice
        at = root.GetPath()

        mesh = UsdGeom.Mesh.Define(stage, at.AppendChild("face"))
        mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(rig.neutral)))
        mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(topology.triangles), 3, np.int32)))
        mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(topology.triangles.ravel()))
        mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        mesh.CreateExtentAttr(_extent(rig))
        normals = vertex_normals(rig.neutral, topology.triangles)
        mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals))
        mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        uvs = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
        )
        uvs.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(topology.uvs)))
        uvs.SetIndices(Vt.IntArray.FromNumpy(topology.uv_triangles.ravel()))

        binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        skeleton = UsdSkel.Skeleton.Define(stage, at.AppendChild("skeleton"))
        skeleton.CreateJointsAttr(["head"])
        skeleton.CreateBindTransformsAttr([Gf.Matrix4d(1)])
        skeleton.CreateRestTransformsAttr([Gf.Matrix4d(1)])
        binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
        binding.CreateJointIndicesPrimvar(constant=True, elementSize=1).Set(Vt.IntArray([0]))
        binding.CreateJointWeightsPrimvar(constant=True, elementSize=1).Set(Vt.FloatArray([1.0]))
        shapes = []
        for name, positions in rig.targets.items():
            shape = UsdSkel.BlendShape.Define(stage, mesh.GetPath().AppendChild(name))
            shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(positions - rig.neutral)))
            moved = vertex_normals(positions, topology.triangles) - normals
            shape.CreateNormalOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(moved)))
            shapes.append(shape.GetPath())
        if shapes:
            binding.CreateBlendShapesAttr(list(rig.targets))
            binding.CreateBlendShapeTargetsRel().SetTargets(shapes)
            animation = UsdSkel.Animation.Define(stage, at.AppendChild("rest"))
            animation.CreateBlendShapesAttr(list(rig.targets))
            animation.CreateBlendShapeWeightsAttr(Vt.FloatArray([0.0] * len(shapes)))
            holder = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
            holder.CreateAnimationSourceRel().SetTargets([animation.GetPath()])

        material = UsdShade.Material.Define(stage, at.AppendChild("skin"))
        surface = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("surface"))
        surface.CreateIdAttr("UsdPreviewSurface")
        surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.6)
        image = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("texture"))
        image.CreateIdAttr("UsdUVTexture")
        image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(f"./{texture.name}"))
        image.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
        places = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("st"))
        places.CreateIdAttr("UsdPrimvarReader_float2")
        places.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        found = places.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(found)
        colour = image.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
        shaded = surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
        material.CreateSurfaceOutput().ConnectToSource(shaded)
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()


def _extent(rig: MorphTargetModel) -> list[tuple[float, ...]]:
    everything = np.stack([rig.neutral, *rig.targets.values()])
    return [tuple(map(float, everything.min(axis=(0, 1)))), tuple(map(float, everything.max(axis=(0, 1))))]
