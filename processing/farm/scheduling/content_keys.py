"""Content keys: equal key, equal result, on any machine.

A run's key is the SHA-256 of its stage, the stage's version, its parameters and its inputs' identities. A file from
outside is identified by its hash; a take by the hashes of its files; another run's output by that run's key and the
output's name, so that every key of a subject is known before anything has run; the same output of many takes or
subjects by their labels with these identities, in their order. Paths, machines and times play no part.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.files.hashes import file_sha256
from processing.files.take_folder import take_files


def content_key(stage: str, version: int, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """64 hexadecimal digits. inputs: name -> identity (see `file_sha256`, `listing_digest`, `output_identity`)."""
    return _digest({"inputs": dict(inputs), "params": dict(params), "stage": stage, "version": version})


def output_identity(key: str, output: str) -> str:
    """The identity of a run's output, before it is made as after."""
    return _digest({"output": output, "run": key})


def each_identity(identities: Iterable[tuple[str, str]]) -> str:
    """The identity of an input that is of many takes or subjects: (label, identity), in their order."""
    return _digest({"each": [list(one) for one in identities]})


def listing_digest(files: Mapping[str, str]) -> str:
    """The identity of a folder: its files' names and hashes, in any order."""
    return _digest(dict(files))


def take_digest(folder: Path) -> str:
    """The identity of a take folder, however its photographs are named. Raises TakeError."""
    return listing_digest({name: file_sha256(path) for name, path in take_files(folder).items()})


def params_bytes(params: Mapping[str, Any]) -> bytes:
    """The one way in which a calibration becomes params.json, so that equal calibrations have equal hashes."""
    return json.dumps(dict(params), sort_keys=True, separators=(",", ":")).encode()


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
