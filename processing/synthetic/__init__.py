"""Subjects, rig and photographs with known truth, for the demo and the tests."""

from processing.synthetic.photograph import Scene, Sensor
from processing.synthetic.rig import studio_rig
from processing.synthetic.subject import PosedHead, Subject, synthetic_subject
from processing.synthetic.takes import photograph, write_take, write_truth

__all__ = [
    "PosedHead",
    "Scene",
    "Sensor",
    "Subject",
    "photograph",
    "studio_rig",
    "synthetic_subject",
    "write_take",
    "write_truth",
]
