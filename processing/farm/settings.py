"""How a farm runs: from studio.toml's [farm], overridden by the command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import psutil

from db.errors import SettingsError
from db.settings import Settings, check_keys
from processing.stages.discovery import BUILT_IN


@dataclass(frozen=True)
class FarmSettings:
    """scheduler: 'tcp://host:8786', or None for a cluster of this machine's own with `workers` processes.

    tls: a folder of `mien farm keys`; the scheduler then speaks TLS alone, and knows its clients by their certificates.
    ram_gb: runs are started while their stages' needs fit into this (None: 80 % of this machine's memory).
    gpus: how many runs at a time may use a graphics processor of this machine, where `device` is not cpu.
    processors: how many one run may keep busy (None: the workers of a machine share its processors).
    lease_s: a daemon that is silent for so long has lost its jobs.  poll_s: how often new takes are looked for.
    backoff_s: before the second attempt; doubled for each further one.  limit_s: a run that takes longer hangs.
    disk_floor_gb: while less is free on the store's disk or a worker's, no run begins.
    open_sessions: takes are processed as soon as they are accepted, not only when their session is closed.
    stages: folders of stage files.  params: stage -> parameters that differ from their defaults.
    """

    scheduler: str | None = None
    tls: str | None = None
    workers: int | None = None
    ram_gb: float | None = None
    gpus: int = 1
    processors: int | None = None
    device: str = "cpu"
    lease_s: float = 60.0
    poll_s: float = 5.0
    backoff_s: float = 30.0
    max_attempts: int = 3
    limit_s: float = 43_200.0
    disk_floor_gb: float = 5.0
    open_sessions: bool = True
    template: str | None = None
    stages: tuple[str, ...] = (str(BUILT_IN),)
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"workers is {self.workers}; at least one is needed")
        if self.lease_s <= 0 or self.poll_s <= 0 or self.backoff_s < 0 or self.max_attempts < 1:
            raise SettingsError("lease_s and poll_s are positive, backoff_s is not negative, max_attempts at least 1")
        if self.limit_s <= 0 or self.disk_floor_gb < 0 or self.gpus < 0:
            raise SettingsError("limit_s is positive, disk_floor_gb and gpus are not negative")
        if self.processors is not None and self.processors < 1:
            raise SettingsError(f"processors is {self.processors}; at least one is needed")

    @classmethod
    def load(cls, studio: Settings, **given: Any) -> Self:
        """The [farm] table of studio.toml, with what was given on the command line (None: not given) over it."""
        written = dict(studio.sections.get("farm", {}))
        check_keys(written, [f.name for f in fields(cls)], f"{studio.home / 'studio.toml'} [farm]")
        if "tls" in written:
            written["tls"] = str(studio.home / written["tls"])
        if "stages" in written:
            written["stages"] = tuple(str(s) for s in written["stages"])
        try:
            loaded = cls(**written)
        except TypeError as error:
            raise SettingsError(f"{studio.home / 'studio.toml'} [farm]: {error}") from None
        return replace(loaded, **{k: v for k, v in given.items() if v is not None})

    @property
    def stage_folders(self) -> tuple[Path, ...]:
        return tuple(Path(s) for s in self.stages)

    def worker_count(self) -> int:
        """One worker a processor, and no more than there is memory for (3 GB each)."""
        if self.workers is not None:
            return self.workers
        return max(1, min(len(os.sched_getaffinity(0)), int(self.ram_budget_gb() // 3)))

    def ram_budget_gb(self) -> float:
        return self.ram_gb if self.ram_gb is not None else 0.8 * float(psutil.virtual_memory().total) / 1e9

    def threads(self) -> int:
        """How many processors one run on a worker of this machine's own may keep busy."""
        return self.processors or max(1, len(os.sched_getaffinity(0)) // self.worker_count())
