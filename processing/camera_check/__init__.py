"""Whether a take's photographs and its calibration belong together: cameras that moved, were exchanged or misset."""
