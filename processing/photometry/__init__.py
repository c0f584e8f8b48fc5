"""Exposure, colour and vignetting of the cameras against each other and against a colour checker."""
