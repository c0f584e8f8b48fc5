"""Facial landmarks: detected in photographs, triangulated, on scans."""
