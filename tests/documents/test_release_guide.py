"""What docs/release.md prints runs as printed: see test_printed_blocks.py for the rule."""

import json
import socket
from pathlib import Path

import pytest
from printed_blocks import Desk, printed

from db.subject_data.personal_data import new_key

PERSON = json.dumps({"name": "Dr. Plantedname", "email": "p@planted.example"})


def test_a_release_is_selected_signed_built_and_verified(faces_4: Path) -> None:
    assert (faces_4 / "desk/releases/faces-4/manifest.json").is_file()


@pytest.mark.slow
def test_a_selection_is_signed(manager: Desk) -> None:
    """Only whose key the studio names may sign."""
    (manager.home / "studio.toml").write_text(printed("docs/release.md", "[release]  ").text)
    manager.shell(
        "mkdir -m 700 ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519\n"
        "echo \"reviewer@studio.example $(cut -d' ' -f1,2 ~/.ssh/id_ed25519.pub)\" > $MIEN_HOME/signers\n"
        "mien release select faces --out faces.toml; $EDITOR faces.toml"
    )
    said = manager.run(printed("docs/release.md", "ssh-keygen -Y sign"))
    assert "faces-4" in said


def test_a_release_is_fetched(holder: Desk) -> None:
    said = holder.run(printed("docs/release.md", "mien release fetch https://host/faces-3    "), here=_host(holder))
    assert "faces-3" in said
    assert (holder.folder / "faces-3/manifest.json").is_file()


def _host(holder: Desk) -> dict[str, str]:
    return {"https://host": holder.env["HOST"]}


def test_a_release_is_verified_read_and_exported(faces_4: Path, holder: Desk) -> None:
    for version in (3, 4):
        (holder.folder / f"faces-{version}").symlink_to(faces_4 / f"desk/releases/faces-{version}")
    manifest = holder.folder / "faces-3/manifest.json.sha256"
    said = holder.run(
        printed("docs/release.md", "mien release verify faces-3  "),
        here={"HASH": manifest.read_text().split()[0], "https://host": holder.env["HOST"]},
    )
    assert "intact" in said
    key = (holder.folder / "faces-3/release.pub").read_text().splitlines()[-1]
    holder.run(printed("docs/release.md", "mien release verify faces-3 --signer"), here={"RWQ...": key})


def test_what_artists_get(faces_4: Path, holder: Desk) -> None:
    (holder.folder / "faces-3").symlink_to(faces_4 / "desk/releases/faces-3")
    holder.run(printed("docs/release.md", "mien release export"))
    assert (holder.folder / "glb/12.glb").is_file()
    assert (holder.folder / "usd/12.usdc").is_file()
    assert (holder.folder / "colmap/12/2_smile/sparse/0").is_dir()


def test_a_program_reads_a_release(faces_4: Path, holder: Desk) -> None:
    (holder.folder / "faces-3").symlink_to(faces_4 / "desk/releases/faces-3")
    block = printed("docs/release.md", "from processing.release.dataset")
    said = holder.python(block, after="print(len(faces), len(train), len(test))")
    assert said.startswith("4 ")


@pytest.mark.slow
def test_a_release_is_published(manager: Desk) -> None:
    srv = manager.folder / "srv"
    srv.mkdir()
    manager.run(printed("docs/release.md", "mien release publish"), here={"/srv/": f"{srv}/"})
    for folder in ("srv/faces-3", "faces-3-huggingface", "faces-3-zenodo"):
        assert (manager.folder / folder).is_dir()


@pytest.mark.slow
def test_others_have_one(manager: Desk) -> None:
    """From the signed licence to the mail about a withdrawal, with the server of the guide between."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"https://localhost:{port}"
    manager.env |= {"MIEN_PERSONAL_KEY": new_key(), "SSL_CERT_FILE": str(manager.folder / "chain.pem")}
    manager.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out chain.pem -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost 2>/dev/null; chmod 600 key.pem"
    )
    said = manager.run(
        printed("docs/release.md", "mien release recipient add"),
        here={"https://releases.studio.example": url},
        input=PERSON,
    )
    assert "R001" in said
    serve = printed("docs/release.md", "mien release serve").text
    assert "--host 0.0.0.0 --port 443" in serve
    served = serve.replace("--host 0.0.0.0 --port 443", f"--port {port}")
    fetch = printed("docs/release.md", "mien release fetch https://host/faces-3 --token-file").text
    fetch = fetch.replace("https://host", url)
    script = f"""
{served} > served.log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
for _ in $(seq 600); do curl -sk -o /dev/null {url}/ && break; sleep 0.1; done
mien release links G001 {url}/faces-3 --days 7
mkdir holder; cp faces-G001.token faces-G001.links holder; cd holder
{fetch}
"""
    said = manager.shell(script, "docs/release.md, a gated server")
    assert "Your grant allows" in said
    held = manager.run(printed("docs/release.md", "mien release holders"))
    assert "University of Somewhere" in held
    _holders_are_told(manager)


def _holders_are_told(manager: Desk) -> None:
    (manager.folder / "other.pdf").write_bytes(b"%PDF signed by another")
    licence = "--licence-text releases/faces-3/LICENCE.txt --licence-version 2026-01 --licence-document other.pdf"
    manager.shell(
        "mien release recipient add --institution 'University of Elsewhere'\n"
        f"mien release grant faces --to R002 --until 2027-12-31 {licence} --signed-on 2026-11-02\n"
        "mien release handed G002 --version 3\n"
        "mien subject withdraw S012",
        input=PERSON,
    )
    manager.run(printed("docs/release.md", "mien release notices faces --from"))
    assert (manager.folder / "notices/faces-N001-R001.eml").is_file()
