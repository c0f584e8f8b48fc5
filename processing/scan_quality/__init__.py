"""How good a scan is: complete, quiet, true to every camera; and whether to accept, review or redo it."""
