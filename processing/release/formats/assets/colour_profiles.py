"""Colour profile of a photograph: its ICC profile, else what the camera wrote of its colour space.

A camera set to Adobe RGB embeds no profile; it says so in EXIF alone (Exif 3.0, 4.6.6.1.1 and the interoperability
index 'R03' of DCF 2.0), which does not leave with the photograph. So a release states it beside the photographs.
"""

import io

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

SRGB, ADOBE_RGB = "sRGB IEC61966-2.1", "Adobe RGB (1998)"
NOT_STATED = "not stated by the camera; read as sRGB"
_ICC = b"ICC_PROFILE\0"


def stated_profile(data: bytes) -> str:
    """The name of the colour profile of a JPEG's bytes; NOT_STATED where neither ICC nor EXIF says."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            icc = picture.info.get("icc_profile")
            exif = picture.getexif()
            space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
            index = exif.get_ifd(ExifTags.IFD.Interop).get(1)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return NOT_STATED
    if icc:
        return _described(icc)
    if space == 1:
        return SRGB
    if str(index).strip("\0 ") == "R03":
        return ADOBE_RGB
    return NOT_STATED


def with_profile(encoded: bytes, original: bytes) -> bytes:
    """An encoded JPEG with the ICC profile of the photograph that it was made from, where that has one."""
    segments = _icc_segments(original)
    at = 4 + int.from_bytes(encoded[4:6], "big") if encoded[2:4] == b"\xff\xe0" else 2  # after JFIF
    return encoded[:at] + b"".join(segments) + encoded[at:]


def _described(icc: bytes) -> str:
    try:
        said = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "an ICC profile that cannot be read"
    plain = "".join(letter for letter in said if letter.isprintable()).strip()[:80]
    return plain or "an ICC profile without a name"


def _icc_segments(data: bytes) -> list[bytes]:
    """The APP2 segments that hold an ICC profile, in order, before the picture's first scan."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE2 and data[at + 4 : at + 4 + len(_ICC)] == _ICC:
            found.append(data[at:end])
        at = end
    return found
