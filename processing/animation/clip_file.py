"""Clips: frames to a film by OpenCV's FFmpeg."""

import os
from collections.abc import Iterable
from pathlib import Path

import cv2

from common.array_types import Image
from common.files.atomic_write import atomic_write
from processing.errors import DataError

# The first that this OpenCV can write. Its wheels have no encoder of H.264 (x264 is GPL); browsers play VP9 too.
CODECS = ("avc1", "vp09", "mp4v")


class ClipError(DataError):
    """A film cannot be written."""


def write_clip(path: Path, frames: Iterable[Image], size: tuple[int, int], fps: float) -> str:
    """An .mp4, whole or not at all; the codec's four letters. frames: (H, W, 3) BGR.  size: W, H, even numbers.

    Raises ClipError.
    """
    with atomic_write(path) as temporary:  # which ends in .mp4 too: OpenCV knows the container by its name
        writer, codec = _opened(temporary, size, fps)
        for frame in frames:
            writer.write(frame)
        writer.release()
        if not temporary.is_file() or not temporary.stat().st_size:
            raise ClipError(f"{path} was not written: is there room on the disk?")
    return codec


def _opened(film: Path, size: tuple[int, int], fps: float) -> tuple[cv2.VideoWriter, str]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet, likewise; read when it is first used
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a codec that is not there is no fault
    try:
        for codec in CODECS:
            writer = cv2.VideoWriter(str(film), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)
            if writer.isOpened():
                return writer, codec
            writer.release()
    finally:
        cv2.utils.logging.setLogLevel(level)
    raise ClipError(f"this OpenCV writes no film ({', '.join(CODECS)}): leave the clip out with --no-clip")
