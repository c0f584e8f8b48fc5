"""The farm on a cluster that Slurm runs: workers are Slurm jobs, as many as there is work for.

    python -m deploy.slurm --home /srv/mien --partition gpu --jobs 20 --cores 8 --memory 32 --walltime 24:00:00 \\
        --tls /srv/mien/keys/farm/slurm

Runs on a login or service node that reaches the database, the store and the compute nodes; scheduler and daemon are in
this process. The home, the store and the certificates are on a disk that the compute nodes see too. Stopped at any
moment it goes on where it was. Ten minutes before its time is over a job is told, ends what it runs and takes no more.
"""

import math
import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import dask
import typer
from dask_jobqueue.slurm import SLURMCluster, SLURMJob

from common.guarding.file_modes import restrict_new_files
from common.guarding.output_streams import sanitise_standard_streams
from db.engine import reading
from db.errors import DatabaseUnavailable, SettingsError
from db.settings import Settings
from db.stage_runs.job_counts import count_jobs
from db.studio import open_records
from processing.farm.daemon import FarmDaemon
from processing.farm.display.farm_progress import FarmProgressDisplay, say_summary, stop_on_signals
from processing.farm.execution.dask_cluster import environment
from processing.farm.settings import FarmSettings
from processing.farm.template_files import studio_template
from processing.farm.tls import security

LOOK_S = 20.0
WARN_S = 600  # before a job's time is over


@dataclass(frozen=True)
class SlurmRequest:
    """What one Slurm job asks for."""

    cores: int
    memory_gb: float
    walltime: str  # as Slurm writes it, 12:00:00
    runs: int = 1  # stage runs at a time
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    extra: tuple[str, ...] = ()  # further #SBATCH options

    def directives(self) -> list[str]:
        gpus = [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        return [f"--signal=B:TERM@{WARN_S}", *gpus, *self.extra]


class WorkerJob(SLURMJob):  # type: ignore[misc]
    """A Slurm job that lends its node by `mien farm worker`, so that it drains and knows GPUs and memory."""

    def __init__(self, *given: Any, worker_options: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*given, **more)
        command = [sys.executable, "-m", "mien", "farm", "worker", str(self.scheduler), "--name", str(self.name)]
        # exec: the signal to the batch shell reaches the worker itself.
        self._command_template = "exec " + shlex.join([*command, *worker_options])


class WorkerCluster(SLURMCluster):  # type: ignore[misc]
    job_cls = WorkerJob


def make_cluster(request: SlurmRequest, tls: str | None, logs: Path, **scheduler: Any) -> Any:
    """A scheduler in this process whose workers are Slurm jobs; none is started yet."""
    options = ["--threads", str(request.runs), "--memory", f"{0.9 * request.memory_gb:g}", "--gpus", str(request.gpus)]
    if tls is not None:
        options += ["--tls", tls]
    with dask.config.set(environment(request.cores // request.runs)):
        return WorkerCluster(
            cores=request.cores, processes=1, memory=f"{request.memory_gb:g}GB", walltime=request.walltime,
            queue=request.partition, account=request.account, job_extra_directives=request.directives(),
            log_directory=str(logs), worker_options=options, security=security(tls),
            scheduler_options={"dashboard_address": "127.0.0.1:0"} | scheduler,
        )  # fmt: skip


class Scaling(threading.Thread):
    """Keeps as many jobs as there is work for; takes none away while anything runs."""

    def __init__(self, farm: FarmDaemon, cluster: Any, most: int, runs_a_job: int) -> None:
        super().__init__(name="mien-slurm", daemon=True)
        self._farm, self._cluster = farm, cluster
        self._most, self._runs = most, runs_a_job
        self._jobs = 0
        self._end = threading.Event()

    def run(self) -> None:
        while True:
            try:
                with reading(self._farm.engine) as tx:
                    counted = count_jobs(tx)
                wanted = min(self._most, math.ceil((counted.ready + counted.running) / self._runs))
                if wanted > self._jobs or wanted == 0:
                    self._jobs = wanted
                self._cluster.scale(jobs=self._jobs)  # again each time: jobs whose time was over are replaced
            except DatabaseUnavailable:
                pass  # the daemon says so
            if self._end.wait(LOOK_S):
                return

    def end(self) -> None:
        self._end.set()
        self.join(timeout=LOOK_S)


def main(
    jobs: Annotated[int, typer.Option(min=1, help="Slurm jobs at most.")],
    cores: Annotated[int, typer.Option(min=1, help="Processors of a job.")] = 8,
    memory: Annotated[float, typer.Option(min=1, help="GB of a job.")] = 32,
    walltime: Annotated[str, typer.Option(help="Time of a job.")] = "12:00:00",
    runs: Annotated[int, typer.Option(min=1, help="Stage runs at a time in a job.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="Graphics processors of a job.")] = 0,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    sbatch: Annotated[list[str] | None, typer.Option(help="A further #SBATCH option, as in --constraint=ib.")] = None,
    tls: Annotated[Path | None, typer.Option(help="A folder of certificates that the nodes see too.")] = None,
    logs: Annotated[Path, typer.Option(help="Where the jobs write their logs.")] = Path("slurm-logs"),
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda where jobs have a GPU.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is left that can run.")] = False,
    home: Annotated[Path | None, typer.Option(envvar="MIEN_HOME", help="The studio's home folder.")] = None,
    database: Annotated[str | None, typer.Option(envvar="MIEN_DATABASE", help="Database URL.")] = None,
) -> None:
    """Run the farm with Slurm jobs as workers."""
    studio = Settings.load(home, database)
    request = SlurmRequest(cores, memory, walltime, runs, gpus, partition, account, tuple(sbatch or ()))
    settings = FarmSettings.load(studio, tls=str(tls) if tls else None, device=device or ("cuda" if gpus else None))
    if settings.tls is None:
        raise SettingsError("whoever reaches the scheduler could run any code: mien farm keys slurm, then --tls FOLDER")
    engine = open_records(studio)
    with FarmProgressDisplay() as display, make_cluster(request, settings.tls, logs.absolute()) as cluster:
        settings = replace(settings, scheduler=cluster.scheduler_address)
        farm = FarmDaemon(engine, studio.store, settings, studio_template(studio.home, settings.template), display)
        stopped = stop_on_signals(farm)
        farm.plan_once()
        scaling = Scaling(farm, cluster, jobs, runs)
        scaling.start()
        try:
            summary = farm.run(until_idle=until_idle)
        finally:
            scaling.end()
    engine.dispose()
    say_summary(summary, as_json=False)
    raise typer.Exit(130 if stopped.is_set() else 4 if summary.jobs.troubled or summary.problems else 0)


if __name__ == "__main__":
    restrict_new_files()
    sanitise_standard_streams()
    typer.run(main)
