"""`mien release`: for the studio that makes releases, and for those who hold one."""

import typer

from processing.release import holder_commands, publish_command, studio_commands

app = typer.Typer(no_args_is_help=True, help="Dataset releases: immutable, every file accounted for.")
for command in (
    studio_commands.select,
    studio_commands.build,
    holder_commands.fetch,
    holder_commands.verify,
    holder_commands.sign,
    holder_commands.diff,
    holder_commands.show,
    holder_commands.export,
    publish_command.publish,
):
    app.command()(command)
