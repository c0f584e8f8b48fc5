"""What a file from elsewhere may be at most. One constant, one meaning; docs/limits.md says which reader has which."""

from typing import ClassVar

# A picture with more pixels is opened nowhere; one with at most as many is read everywhere (a photograph of a body with
# 150 megapixels that moves its sensor has 400).
MAX_PIXELS = 400_000_000
MAX_PHOTO_BYTES = 400_000_000
# What a decoder may hold beside the picture: a progressive JPEG's coefficients, two bytes each. Cameras write baseline
# files, which need none; 50 megapixels saved anew by an editor need 150 to 300 MB.
MAX_COEFFICIENT_BYTES = 320_000_000
MAX_SEGMENTS = 10_000  # of a JPEG
MAX_SCANS = 100  # passes over a JPEG's picture; libjpeg's own progressive script makes 10

# Maps, masks and textures over a UV square: 16,384 a side.
MAX_MAP_PIXELS = 16_384 * 16_384
MAX_MAP_BYTES = 1 << 30

MAX_MESH_BYTES = 2 << 30
MAX_VERTICES = 20_000_000
MAX_FACES = 40_000_000
MAX_POLYGON = 1_000
MAX_LINE_BYTES = 1 << 20
MAX_COORDINATE_MM = 1e9  # a thousand kilometres: beyond it squares are not what they should be

MAX_UV = 1e6

MAX_ARRAYS = 64
MAX_ARRAY_BYTES = 600_000_000  # of all arrays of an .npz together, unpacked
MAX_FACE_MODEL_BYTES = 2 << 30  # the same of a face model: 50 identities, 52 units and 80,000 vertices have 0.6 GB

MAX_WEIGHTS_BYTES = 2 << 30  # of what was learned: a full-size generator of maps has 0.75 GB
MAX_CHECKPOINT_BYTES = 16 << 30  # a training's networks, each with its optimiser's two averages
MAX_TENSORS = 20_000  # of either
MAX_TENSOR_HEADER_BYTES = 16_000_000

MAX_JSON_BYTES = 64_000_000
MAX_JSON_VALUES = 4_000_000
# A table of facial animation: an hour at 60 frames a second has 216,000 rows and some 140 MB.
MAX_TABLE_BYTES = 256_000_000
MAX_TABLE_ROWS = 400_000
MAX_TABLE_COLUMNS = 1_000
MAX_TOML_BYTES = 8_000_000
MAX_DEPTH = 64
MAX_KEY_PARTS = 32  # of a dotted key

MAX_MODEL_BYTES = 512_000_000  # a COLMAP model's images file: it lists the points that each photograph sees
MAX_VIEWS = 100_000
MAX_SIDE_PX = 100_000

# Of a decoding process, above what it holds when it has started; and of one file.
DECODER_BYTES = MAX_PIXELS * 3 + MAX_COEFFICIENT_BYTES + 200_000_000
DECODER_S = 30.0


class OutOfBounds(ValueError):
    """A file from elsewhere is larger, deeper or longer than a reader takes. A ValueError, as other damage is."""

    exit_code: ClassVar[int] = 4
