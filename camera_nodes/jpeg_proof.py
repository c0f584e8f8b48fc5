"""Whether a JPEG is whole; see bounded.jpeg_proof."""

from bounded.jpeg_proof import PADDING, Verdict, examine, is_progressive, read_pixels

__all__ = ["PADDING", "Verdict", "examine", "is_progressive", "read_pixels"]
