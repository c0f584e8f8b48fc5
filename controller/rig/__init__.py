"""The rig as it stands: roster, calibration, cameras set aside."""
