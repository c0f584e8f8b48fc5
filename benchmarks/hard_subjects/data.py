"""Where the data of the hard cases lies, which is no part of the project."""

import os
from pathlib import Path

#: ../shared/data, or the folder that HARD_SUBJECTS names.
DATA = Path(os.environ.get("HARD_SUBJECTS") or Path(__file__).resolve().parents[3] / "shared" / "data")
