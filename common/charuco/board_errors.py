"""What is wrong with a board's description."""


class BoardError(Exception):
    """The board's measures cannot be; the message names the file and the key."""

    exit_code = 4
