"""Photographs to a scan: multi-view stereo, fusion, surface."""
