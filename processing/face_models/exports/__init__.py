"""Rigs and models in the formats of other programs: glTF, USD, OBJ, FaceScape's bilinear model."""
