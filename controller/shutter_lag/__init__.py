"""Each camera's shutter lag: measured, kept, foretold."""
