"""Faces to photograph: people and expressions drawn from a study's model, in the skins of those who may be shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image, Ints64
from processing.face_models.face_model import FaceModel
from processing.synthetic.face_photographs import FacePhotography

_WITHIN = 2.2  # deviations of identity parameters
_RECOLOURED = 0.7  # share of faces whose member's skin is given another member's colours
_NEUTRAL = 0.12
_MORE_UNITS = 0.35  # share of expressions to which units at random are added


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """A person who is not, with an expression."""

    scores: Floats  # (n,) deviations from the members' mean
    weights: Floats  # (U,)
    vertices_mm: Floats  # (V, 3)
    photography: FacePhotography


def draw_face(rng: np.random.Generator, model: FaceModel, textures: Sequence[Image]) -> DrawnFace:
    """Identity by the model's deviations, expression by its mixture with other units besides, texture by both.

    textures: (S, S, 3) RGB of members, of which one is drawn; none: the model's colours alone.
    """
    identity = model.sample_identity(rng, within=_WITHIN)
    deviation = np.where(model.identity_deviation > 0, model.identity_deviation, 1.0)
    scores = (identity - model.identity_mean) / deviation
    weights = draw_weights(rng, model)
    vertices = model.face(identity, weights)
    texture = draw_texture(rng, model, textures)
    mesh = model.topology.mesh.with_vertices(vertices)
    return DrawnFace(scores, weights, vertices, FacePhotography(mesh, texture))


def draw_weights(rng: np.random.Generator, model: FaceModel) -> Floats:
    """(U,) of 0..1: a member's kind of expression, weaker or stronger, some with units that nobody was asked for."""
    units = len(model.units)
    if rng.random() < _NEUTRAL:
        return np.zeros(units)
    weights = np.zeros(units)
    if model.expression_mixture is not None:
        weights = model.sample_weights(rng) * rng.uniform(0.3, 1.15)
    if model.expression_mixture is None or rng.random() < _MORE_UNITS:
        some = rng.permutation(units)[: int(rng.integers(1, 5))]
        weights[some] = np.maximum(weights[some], rng.uniform(0, 0.9, len(some)))
    return np.asarray(weights.clip(0, 1))


def draw_texture(rng: np.random.Generator, model: FaceModel, textures: Sequence[Image]) -> Image:
    """(S, S, 3) BGR: a member's with the colours of another by the model's components, or the components' alone."""
    albedo = model.albedo
    if not len(textures):
        if albedo is None:
            return np.full((64, 64, 3), rng.uniform(60, 220), np.uint8)
        return np.ascontiguousarray(albedo.picture(rng.standard_normal(len(albedo.deviations)))[..., ::-1])
    texture = textures[int(rng.integers(len(textures)))]
    if albedo is not None and rng.random() < _RECOLOURED:
        amounts = (rng.standard_normal(len(albedo.deviations)) * 0.8 * albedo.deviations).astype(np.float32)
        change = np.zeros((*albedo.mask.shape, 3), np.float32)
        change[albedo.mask] = (amounts @ albedo.components.reshape(len(amounts), -1)).reshape(-1, 3)
        size = (texture.shape[1], texture.shape[0])
        texture = np.clip(texture + cv2.resize(change, size, interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(texture[..., ::-1])


def compared_vertices(model: FaceModel, count: int, *, seed: int = 0) -> Ints64:
    """(M,) vertices on which faces are compared, ascending, the ones on the other side with them: landmarks, and of
    the face's skin about `count` drawn by their areas.
    """
    topology = model.topology
    rng = np.random.default_rng(seed)
    skin: Bools = topology.face & (topology.parts == 0)
    areas = np.where(skin, topology.mesh.vertex_areas, 0.0)
    landmarks = topology.landmark_vertices
    more = max(0, min((count - 2 * len(landmarks)) // 2, int((areas > 0).sum())))
    drawn = rng.choice(len(areas), more, replace=False, p=areas / areas.sum()) if more else np.zeros(0, np.int64)
    chosen = np.concatenate([landmarks.astype(np.int64), drawn])
    mirrored = topology.symmetry.astype(np.int64)
    both = mirrored[mirrored] == np.arange(len(mirrored))  # of the others, the other side's other side is elsewhere
    chosen = chosen[both[chosen]]
    return np.unique(np.concatenate([chosen, mirrored[chosen]]))
