"""How a farm runs: from studio.toml's [farm], overridden by the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psutil

from common.configuration.loader import from_table
from common.guarding.log_fields import LogFormat
from common.processors import usable_cpus
from db.errors import SettingsError
from db.settings import Settings
from processing.stages.discovery import BUILT_IN


@dataclass(frozen=True)
class FarmSettings:
    """The [farm] table of studio.toml, over which flags of the command line go."""

    # 'tcp://host:8786', or None for a cluster of this machine's own with `workers` processes
    scheduler: str | None = None
    # a folder of `mien farm keys`: the scheduler speaks TLS alone, and knows its clients by their certificates
    tls: str | None = None
    # processes of a cluster of this machine's own (None: by processors and memory)
    workers: int | None = None
    # runs are started while their stages' needs fit into this (None: 80 % of this machine's memory)
    ram_gb: float | None = None
    # runs at a time that may use a graphics processor of this machine, where `device` is not cpu
    gpus: int = 1
    # how many one run may keep busy (None: the workers of a machine share its processors)
    processors: int | None = None
    # where stages compute that can use a graphics processor: cpu, cuda, cuda:1
    device: str = "cpu"
    # a daemon that is silent for so long has lost its jobs
    lease_s: float = 60.0
    # how often new takes are looked for
    poll_s: float = 5.0
    # before the second attempt; doubled for each further one
    backoff_s: float = 30.0
    # a run that failed so often is parked
    max_attempts: int = 3
    # a run that takes longer hangs
    limit_s: float = 43_200.0
    # while less is free on the store's disk or a worker's, no run begins
    disk_floor_gb: float = 5.0
    # takes are processed as soon as they are accepted, not only when their session is closed
    open_sessions: bool = True
    # a coarse scan of each accepted take of a subject in the chair, before all else that waits
    first_look: bool = False
    # file of the template (None: the one that the first run of this studio used)
    template: str | None = None
    # folders of stage files
    stages: tuple[str, ...] = (str(BUILT_IN),)
    # how its log lines are written: json for machines; text shows a bar and a line a run
    log_format: LogFormat = LogFormat.TEXT
    # stage -> parameters that differ from their defaults
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
        source = f"{studio.home / 'studio.toml'} [farm]"
        loaded = from_table(cls, studio.sections.get("farm", {}), source, SettingsError)
        if loaded.tls is not None:
            loaded = replace(loaded, tls=str(studio.home / loaded.tls))
        return replace(loaded, **{k: v for k, v in given.items() if v is not None})

    @property
    def stage_folders(self) -> tuple[Path, ...]:
        return tuple(Path(s) for s in self.stages)

    def worker_count(self) -> int:
        """One worker a processor, and no more than there is memory for (3 GB each)."""
        if self.workers is not None:
            return self.workers
        return max(1, min(usable_cpus(), int(self.ram_budget_gb() // 3)))

    def ram_budget_gb(self) -> float:
        return self.ram_gb if self.ram_gb is not None else 0.8 * float(psutil.virtual_memory().total) / 1e9

    def threads(self) -> int:
        """How many processors one run on a worker of this machine's own may keep busy."""
        return self.processors or max(1, usable_cpus() // self.worker_count())
