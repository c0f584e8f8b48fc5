"""FS-Lab: images of detailed faces from eleven sides and at three focal lengths, rendered with exact cameras."""
