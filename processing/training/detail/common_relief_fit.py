"""What a study's faces have in common, gathered from its maps."""

from collections.abc import Iterable, Sequence

import numpy as np

from common.array_types import Floats32
from processing.learning.detail.common_relief import CommonRelief, CommonReliefFit
from processing.training.detail.face_maps import FaceMaps

_LIVELY_TAKES = 100  # by which it is told where faces move


def learned_relief(maps: FaceMaps, subjects: Sequence[int]) -> tuple[CommonRelief, Floats32]:
    """The common relief of subjects, and (E, P, P) mm: the mean change of each expression from rest."""
    size = maps.size_px
    fit = CommonReliefFit(size)
    change = np.zeros((len(maps.labels), size, size), np.float32)
    counts = np.zeros((len(maps.labels), size, size), np.float32)
    for subject in subjects:
        rest, seen = maps.height(subject, 0)
        fit.add_rest(rest, seen)
        for label in np.flatnonzero(maps.there[subject])[1:]:
            height, valid = maps.height(subject, int(label))
            valid = valid & seen
            area = maps.grid.drawn(maps.stretch(subject, int(label))[:, :1])[0]
            fit.add(height, rest, valid, area)
            change[label] += np.where(valid, height - rest, 0)
            counts[label] += valid
    return fit.solve(), change / counts.clip(1)


def liveliness(maps: FaceMaps, subjects: Iterable[int]) -> Floats32:
    """(P, P) mm: how much relief changes with the expression, on average over some takes."""
    takes = [(s, int(e)) for s in subjects for e in np.flatnonzero(maps.there[s])[1:]]
    total = np.zeros((maps.size_px, maps.size_px), np.float32)
    some = takes[:: max(1, len(takes) // _LIVELY_TAKES)]
    for subject, label in some:
        (height, valid), (rest, seen) = maps.height(subject, label), maps.height(subject, 0)
        total += np.where(valid & seen, np.abs(height - rest), 0)
    return np.asarray(total / max(len(some), 1), np.float32)
