"""`mien learn regressor`, `detail` and `avatar`: a training, or the rest of one that was stopped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from common.terminal.options import AsJson, Database, Home, print_json
from common.terminal.progress_bar import progress_bar

Release = Annotated[
    Path, typer.Option("--release", help="A release, or a folder of subjects as mien process leaves them.")
]
Model = Annotated[Path | None, typer.Option("--model", help="The study's face model (.npz).")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run; the same call there goes on where it stopped.")]
Size = Annotated[
    Literal["small", "full"], typer.Option(help="full: the papers' numbers, for a GPU. small: minutes on two cores.")
]
Minutes = Annotated[
    float | None,
    typer.Option(help="Train for so long at most, all starts together; preparing is not counted. Not repeatable then."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Times through the data. Default: as the size has it.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps at most. Default: as the size has it.")]
Patience = Annotated[
    int | None, typer.Option(min=1, help="End after so many epochs without a better score of those held back.")
]
Seed = Annotated[int, typer.Option(help="Of all chance: equal calls give equal weights on one kind of CPU.")]
HeldBack = Annotated[
    float, typer.Option("--held-back", min=0.0, max=0.9, help="Share of the subjects never trained on.")
]
LeaveOut = Annotated[list[str] | None, typer.Option(metavar="CODE", help="Without this subject; repeatable.")]
SkipIncomplete = Annotated[
    bool, typer.Option("--skip-incomplete", help="Without subjects whose files are missing or damaged.")
]
Device = Annotated[str, typer.Option(help="cpu, or cuda (cuda:1) where there is one.")]
Mixed = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option(help="Networks' arithmetic; 16 bits are for a GPU, float16 with scaled gradients."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Of a CPU. Default: all that may be used.")]
CheckpointEvery = Annotated[
    int, typer.Option(min=1, help="Steps after which the run is kept, beside each epoch's end.")
]
Synthetic = Annotated[
    bool | None, typer.Option("--synthetic/--real", help="Whether the folder's people are made up; a release says so.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the task.")]
Record = Annotated[
    bool,
    typer.Option(
        "--record/--no-record",
        help="Record the weights where this machine's studio knows the release (mien learn record).",
    ),
]


def _command(kind: str, what: str) -> Callable[..., None]:
    """The command that trains one kind: all take the same."""

    def train(
        release: Release,
        out: Out,
        model: Model = None,
        size: Size = "full",
        minutes: Minutes = None,
        epochs: Epochs = None,
        steps: Steps = None,
        patience: Patience = None,
        seed: Seed = 0,
        held_back: HeldBack = 0.1,
        leave_out: LeaveOut = None,
        skip_incomplete: SkipIncomplete = False,
        device: Device = "cpu",
        mixed: Mixed = "float32",
        threads: Threads = None,
        checkpoint_every: CheckpointEvery = 200,
        synthetic: Synthetic = None,
        set_: Set = None,
        record: Record = True,
        home: Home = None,
        database: Database = None,
        as_json: AsJson = False,
    ) -> None:
        _train(kind, locals())

    train.__name__, train.__doc__ = kind, what
    return train


regressor = _command(
    "regressor", "Learn the fit: a photograph to identity, expression and pose of the study's model, in one pass."
)
detail = _command("detail", "Learn skin's detail: texture and motion of each expression to its displacement map.")
avatar = _command("avatar", "Learn heads: features of a photographed face to the shape of the whole head.")


def _train(kind: str, given: dict[str, Any]) -> None:
    from common.processors import usable_cpus
    from processing.commands.learn_records import gate, record_run, say_card
    from processing.training.learn import LearnRequest, learn
    from processing.training.train_settings import TrainSettings

    training = TrainSettings(
        minutes=given["minutes"], seed=given["seed"], checkpoint_every_steps=given["checkpoint_every"],
        device=given["device"], mixed=given["mixed"], threads=given["threads"] or usable_cpus(),
    )  # fmt: skip
    request = LearnRequest(
        kind, given["release"], given["out"], given["model"], given["size"], _settings(given["set_"] or ()),
        given["held_back"], tuple(given["leave_out"] or ()), given["skip_incomplete"], given["synthetic"],
        given["epochs"], given["steps"], given["patience"], training,
    )  # fmt: skip
    where = given["home"], given["database"]
    with progress_bar(quiet=given["as_json"]) as progress:
        try:
            done = learn(request, allowed=gate(*where), progress=progress)
        except KeyboardInterrupt as stop:
            typer.echo(f"{str(stop) or 'stopped'}; the same call goes on from there", err=True)
            raise typer.Exit(130) from None
    recorded = record_run(request.out, *where) if given["record"] else None
    if given["as_json"]:
        print_json(
            {"run": str(request.out), "skipped": done.skipped, "recorded": recorded, "card": done.card.as_json()}
        )
        return
    say_card(done.card, str(request.out / "weights.safetensors"), recorded)
    if done.skipped:
        print(f"Left out, their files being incomplete: {', '.join(done.skipped)}")


def _settings(said: Sequence[str]) -> dict[str, Any]:
    """`rate=0.001` and the like. Raises TrainingError for what is not of this form."""
    import json

    from processing.training.train_settings import TrainingError

    found: dict[str, Any] = {}
    for setting in said:
        name, equals, text = setting.partition("=")
        if not (equals and name):
            raise TrainingError(f"'{setting}' is no setting; write NAME=VALUE, as in batch=32")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
