"""Arrays and one text in a file without pickle: safetensors, read within limits and proven whole.

The format has no checksum of its own, so the text carries one over every name, type, shape and byte: a file that was
cut, padded or changed anywhere is refused, and one that came from elsewhere is a table of numbers, never a program.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.bounded.files import open_regular_file
from common.bounded.json_toml import parse_json
from common.bounded.limits import MAX_TENSOR_HEADER_BYTES, MAX_TENSORS, OutOfBounds
from common.files.atomic_write import atomic_write
from processing.errors import DataError

_KEY = "mien"  # the one entry of the metadata: with several their order, and so the bytes, would be chance
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1",
    "BOOL": "|b1",
}  # fmt: skip
_ALLOWED = frozenset(np.dtype(name) for name in _TYPES.values())
_DIMENSIONS, _SIDE = 8, 1 << 40
Tensors = Mapping[str, NDArray[Any]]


class TensorFileError(DataError):
    """A file of tensors cannot be used, or these arrays make none."""


def write_tensors(path: Path, about: Mapping[str, Any], tensors: Tensors, *, kind: str, version: int) -> None:
    """One file, whole or not at all; equal contents give equal bytes. kind, version: what the file says that it is.

    about: JSON.  Raises TensorFileError for arrays of types that are not kept.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype not in _ALLOWED:
            raise TensorFileError(f"{name} holds {array.dtype}; kept are {', '.join(sorted(_TYPES))}")
    head = {"kind": kind, "format": version, "about": dict(about)}
    text = json.dumps(head, sort_keys=True, allow_nan=False)
    signed = json.dumps({"head": text, "sha256": _digest(text, arrays)}, sort_keys=True)
    with atomic_write(Path(path)) as temporary:
        save_file(arrays, str(temporary), metadata={_KEY: signed})


def read_tensors(path: Path, *, kind: str, version: int, most: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `write_tensors` wrote of this kind and version. most: bytes of the file.

    Raises TensorFileError for a file that is not there, is no such file, is of another kind or version, is damaged, or
    is beyond the limits.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        text, wanted = _head(path, most)
        about = _about(path, text, kind, version)
        with safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        if _digest(text, arrays) != wanted:
            raise ValueError("its contents are not those that were written: their checksum differs")
        return about, arrays
    except OSError as error:
        raise TensorFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise TensorFileError(f"{path} is no {kind}, or a damaged one: {error}") from None


def read_about(path: Path, *, kind: str, version: int, most: int) -> dict[str, Any]:
    """What a file says of itself, without its arrays, which are not looked at. Raises TensorFileError."""
    path = Path(path)
    try:
        return _about(path, _head(path, most)[0], kind, version)
    except OSError as error:
        raise TensorFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(f"{path} is no {kind}, or a damaged one: {error}") from None


def _head(path: Path, most: int) -> tuple[str, str]:
    """The text and the checksum; every tensor's type and place are looked at. Raises OSError and ValueError."""
    with os.fdopen(open_regular_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OutOfBounds(f"it has {size:,} bytes; at most {most:,} are read")
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_TENSOR_HEADER_BYTES):
            raise ValueError("it does not begin as a safetensors file does")
        table = parse_json(file.read(length), MAX_TENSOR_HEADER_BYTES, once=True)
    metadata = table.pop("__metadata__", {})
    if len(table) > MAX_TENSORS:
        raise OutOfBounds(f"it has {len(table):,} tensors; at most {MAX_TENSORS:,} are read")
    for name, entry in table.items():
        _check_entry(name[:60], entry, size - 8 - length)
    signed = parse_json(metadata[_KEY], MAX_TENSOR_HEADER_BYTES, once=True)
    return str(signed["head"]), str(signed["sha256"])


def _check_entry(name: str, entry: Mapping[str, Any], size: int) -> None:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name} is of type {str(entry['dtype'])[:20]}; read are {', '.join(sorted(_TYPES))}")
    shape, (first, last) = entry["shape"], entry["data_offsets"]
    if len(shape) > _DIMENSIONS or not all(isinstance(n, int) and 0 <= n <= _SIDE for n in (*shape, first, last)):
        raise ValueError(f"{name} has a shape or a place that no tensor has")
    count = 1
    for n in shape:
        count *= n
    if last - first != count * np.dtype(_TYPES[entry["dtype"]]).itemsize or last > size:
        raise ValueError(f"{name} has {last - first:,} bytes, which its shape does not want or the file does not have")


def _about(path: Path, text: str, kind: str, version: int) -> dict[str, Any]:
    head = parse_json(text, MAX_TENSOR_HEADER_BYTES, once=True)
    if head["kind"] != kind:
        raise ValueError(f"it says that it is a {str(head['kind'])[:40]}")
    if head["format"] != version:
        raise TensorFileError(
            f"{path} is a {kind} of format {str(head['format'])[:20]}; this Mien reads {version}. Use the Mien that "
            "wrote it, or train again"
        )
    about = head["about"]
    if not isinstance(about, dict):
        raise ValueError("it says nothing of itself")
    return about


def tensors_sha256(arrays: Tensors) -> str:
    """Over every array's name, type, shape and bytes: equal for equal numbers."""
    return _digest("", arrays)


def _digest(text: str, arrays: Tensors) -> str:
    """Over the text and every array's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{list(np.shape(arrays[name]))}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
