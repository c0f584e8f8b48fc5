"""Photographs to a scan: multi-view stereo, fusion, surface."""

from processing.reconstruction.pipeline import reconstruct
from processing.reconstruction.settings import FAST, ReconstructionError, ReconstructionSettings, Scan, ScanReport

__all__ = ["FAST", "ReconstructionError", "ReconstructionSettings", "Scan", "ScanReport", "reconstruct"]
