import numpy as np
from small_model import small_model

from processing.single_view.editing.teeth import coverage, teeth_of


def test_the_lower_row_moves_with_the_jaw_and_the_upper_stays() -> None:
    model = small_model()
    weights = np.zeros(52)
    closed = teeth_of(model, model.identity_mean, weights)
    weights[model.units.index("jawOpen")] = 1.0
    opened = teeth_of(model, model.identity_mean, weights)
    moved = np.linalg.norm(opened.vertices_mm - closed.vertices_mm, axis=1)
    assert moved[~closed.lower].max() == 0
    assert moved[closed.lower].min() > 0.1


def test_beyond_the_biting_edge_nothing_is_covered() -> None:
    along, lower = np.linspace(-25, 25, 200), np.arange(200) % 2 == 1
    covered, light = coverage(along, np.full(200, 6.0), lower)
    assert (covered == 1).all()
    assert ((light > 0.3) & (light <= 1)).all()
    assert coverage(along, np.full(200, -2.0), lower)[0].max() == 0
