"""`mien release`: for the studio that makes releases, and for those who hold one."""

import typer

from processing.commands import release_access, release_build, release_holder, release_publish, release_serve

app = typer.Typer(no_args_is_help=True, help="Dataset releases: immutable, every file accounted for.")
for command in (
    release_build.select,
    release_build.build,
    release_holder.fetch,
    release_holder.verify,
    release_publish.sign,
    release_holder.diff,
    release_holder.show,
    release_holder.export,
    release_publish.publish,
    release_access.grant,
    release_access.licence,
    release_access.revoke,
    release_access.handed,
    release_access.holders,
    release_access.notices,
    release_serve.serve,
    release_serve.links,
):
    app.command()(command)
app.add_typer(release_access.recipient, name="recipient")
