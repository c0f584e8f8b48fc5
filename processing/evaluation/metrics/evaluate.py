"""One predicted face against the truth: every figure, or the reason why there is none."""

from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import EvaluationSettings, ImageScores
from processing.evaluation.metrics.view import TrueCamera


def evaluate_image(
    truth: TruthFace, camera: TrueCamera, prediction: Prediction, settings: EvaluationSettings | None = None
) -> ImageScores:
    """Measure one prediction. Never raises for what a method gave: an unusable one has a reason and no figures."""
    raise NotImplementedError
