"""Methods that find a face in one photograph, measured: benchmarks with known truth, metrics, the board."""
