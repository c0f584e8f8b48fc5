"""Whether a take's photographs and its calibration belong together: cameras that moved, were exchanged or misset."""

from processing.drift.report import Finding, WatchReport
from processing.drift.settings import DriftError, DriftSettings
from processing.drift.watch import Watched, watch

__all__ = ["DriftError", "DriftSettings", "Finding", "WatchReport", "Watched", "watch"]
