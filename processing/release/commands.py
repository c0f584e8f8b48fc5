"""`mien release`: for the studio that makes releases, and for those who hold one."""

import typer

from processing.release import (
    access_commands,
    holder_commands,
    publish_command,
    serve_commands,
    studio_commands,
)

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
    access_commands.grant,
    access_commands.licence,
    access_commands.revoke,
    access_commands.handed,
    access_commands.holders,
    access_commands.notices,
    serve_commands.serve,
    serve_commands.links,
):
    app.command()(command)
app.add_typer(access_commands.recipient, name="recipient")
