"""The head of a quality picture: the verdict on its colour, and the reasons below it."""

import cv2
import numpy as np

from common.array_types import Image
from processing.geometry import rendering
from processing.scan_quality.verdict import QualityReview

VERDICT_BGR = {"accept": (70, 150, 60), "review": (30, 140, 220), "redo": (40, 40, 200)}
PAPER_BGR = (250, 250, 250)


def verdict_heading(
    review: QualityReview, width: int, *, most_reasons: int, row_px: int, margin_px: int, note: str = ""
) -> Image:
    """(h, width, 3) BGR. row_px: a reason's line; margin_px: what is above and below them; note: beside the verdict."""
    shown = review.reasons[:most_reasons]
    out = np.full((margin_px + row_px * len(shown), width, 3), PAPER_BGR, np.uint8)
    cv2.rectangle(out, (0, 0), (width, 30), VERDICT_BGR[review.verdict], -1)
    cv2.putText(out, review.verdict.upper(), (10, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.65, (255, 255, 255), 2, cv2.LINE_AA)
    if note:
        cv2.putText(out, note, (110, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    for number, reason in enumerate(shown):
        rendering.text(out, reason, (10, 48 + row_px * number))
    return out
