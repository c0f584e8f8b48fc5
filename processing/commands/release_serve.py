"""`mien release serve` and `links`: how a release gets to those who may have it."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import Database, Home
from processing.commands.release_access import GrantCode


def serve(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Releases, as they were built.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8460,
    certificate: Annotated[Path | None, typer.Option(help="The server's certificate with its chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy on this machine does HTTPS and says who asks.")
    ] = False,
    connections: Annotated[int, typer.Option(min=1, help="Connections at one time.")] = 500,
    home: Home = None,
    database: Database = None,
) -> None:
    """Serve releases to holders of a token or a link, each file by its manifest, until interrupted."""
    from db.studio import open_studio
    from processing.release.studio.access.access_control import AccessControl
    from processing.release.studio.access.delivery_ledger import Ledger
    from processing.release.studio.access.file_server import ReleaseServer
    from processing.release.studio.access.served_release import ServedRelease
    from processing.release.studio.access.server_process import (
        ListenSettings,
        make_server,
        open_listener,
        serve_until_stopped,
    )
    from processing.release.studio.access.signed_links import server_key

    settings = ListenSettings(host, port, certificate, key, behind_proxy, connections)
    with open_listener(settings) as listener, open_studio(home, database) as studio:
        releases = [ServedRelease(folder) for folder in folders]
        ledger = Ledger(studio.engine)
        app = ReleaseServer(AccessControl(studio.engine, releases, server_key(studio.settings.keys)), ledger)
        scheme = "https" if certificate else "http"
        for served in releases:
            print(
                f"{served.place}  {scheme}://{host}:{port}/{served.place}  {len(served.manifest.files)} files",
                flush=True,
            )
        serve_until_stopped(make_server(app, settings), listener, ledger)


def links(
    code: GrantCode,
    release: Annotated[
        str, typer.Argument(help="The release's address on our server, or its place (s3://bucket/faces-3).")
    ],
    days: Annotated[float, typer.Option(min=0.01, max=366, help="How long they hold.")] = 7,
    to: Annotated[Path | None, typer.Option(help="The file for them (NAME-GRANT.links).")] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Make a link that expires: to a release or a file on our server, or to each file in an object store."""
    from db.engine import reading, utc_now
    from db.release_records.access_grants import get_grant
    from db.studio import open_studio
    from processing.release.formats.access_secrets import write_secret
    from processing.release.formats.link_list import as_text
    from processing.release.studio.access.link_address import address_and_place
    from processing.release.studio.access.presigned_links import give_links
    from processing.release.studio.access.signed_links import server_key, sign

    until = utc_now() + timedelta(days=days)
    with open_studio(home, database) as studio:
        with reading(studio.engine) as tx:
            grant = get_grant(tx, code)
        if release.startswith(("http://", "https://")):
            address, place = address_and_place(release, grant)
            text = address + sign(server_key(studio.settings.keys), grant.id, until, place) + "\n"
            ends = f"and no longer than {grant.code} does"
        else:
            text = as_text(give_links(studio.engine, code, release, until))
            ends = "nothing calls it back before"
    file = to or Path(f"{grant.release_name}-{grant.code}.links")
    write_secret(file, text)
    print(f"{file} opens until {until:%Y-%m-%d %H:%M} UTC, {ends}; send it by a safe way.")
