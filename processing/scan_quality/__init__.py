"""How good a scan is: complete, quiet, true to every camera; and whether to accept, review or redo it."""

from processing.scan_quality.measure import ScanQuality, measure_scan
from processing.scan_quality.picture import quality_picture
from processing.scan_quality.verdict import QualitySettings, Review, judge

__all__ = ["QualitySettings", "Review", "ScanQuality", "judge", "measure_scan", "quality_picture"]
