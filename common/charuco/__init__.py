"""The ChArUco board: its measures, its corners in a photograph, what a calibration needs of them."""
