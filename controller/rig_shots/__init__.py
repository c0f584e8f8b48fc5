"""Photographs that the rig makes without a subject: the board, a ColorChecker, a test. They belong to no take."""
