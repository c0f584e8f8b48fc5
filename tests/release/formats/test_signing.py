"""Signatures of minisign and OpenSSH, made by their own programs where these are here: one changed byte is refused."""

import contextlib
import shutil
import stat
import subprocess
import threading
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import minisign
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from db.engine import transaction
from db.errors import SettingsError
from db.models import ConsentScope
from db.subjects import get_subject, withdraw_consent
from processing.commands.release import app
from processing.release.formats.errors import SignatureError
from processing.release.formats.manifest import MANIFEST, read_manifest
from processing.release.formats.manifest_signature import check_signature, sign_release
from processing.release.formats.signing import RELEASE, SELECTION, PublicKey, check, public_of, sign, studio_key
from processing.release.holder.fetch import fetch_release
from processing.release.holder.verify import VerificationFault, verify
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.selection.selection_signers import read_signers, signed_by

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SSH = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
KINDS = [pytest.param("ssh", marks=SSH), "minisign"]
TEXT = b'format = 1\nname = "faces"\n'
WHEN = datetime(2026, 11, 28, 12, tzinfo=UTC)


def key_of(folder: Path, kind: str, name: str = "id") -> Path:
    """A secret key, its public one beside it."""
    path = folder / f"{name}-{kind}"
    if kind == "ssh":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
        return path
    pair = minisign.KeyPair.generate()
    path.write_bytes(bytes(pair.secret_key))
    path.chmod(0o600)
    path.with_name(f"{path.name}.pub").write_bytes(bytes(pair.public_key))
    return path


def signer_line(key: Path, kind: str, name: str = "dm@studio", options: str = "") -> str:
    public = public_of(key).text
    return f"{name} {options}{public}\n" if kind == "ssh" else f"untrusted comment: {name}\n{public}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_any_changed_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    folder = tmp_path_factory.mktemp("keys")
    key = key_of(folder, kind)
    made = sign(TEXT, key, SELECTION, "it")
    (folder / "signers").write_text(signer_line(key_of(folder, kind, "other"), kind, "b@x") + signer_line(key, kind))
    signers = read_signers(folder / "signers")
    assert signed_by(TEXT, made.content, signers) == "dm@studio"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, len(TEXT) - 1), byte=st.integers(0, 255), cut=st.booleans())
    def changed(at: int, byte: int, cut: bool) -> None:
        text = TEXT[:at] if cut else TEXT[:at] + bytes([byte]) + TEXT[at + 1 :]
        if text != TEXT:
            with pytest.raises(SignatureError):
                signed_by(text, made.content, signers)

    @settings(max_examples=60, deadline=None)
    @given(noise=st.binary(max_size=200), at=st.integers(0, len(made.content)))
    def malformed(noise: bytes, at: int) -> None:
        signature = made.content[:at] + noise
        with contextlib.suppress(SignatureError):
            assert signed_by(TEXT, signature, signers) == "dm@studio"  # the same signature, written otherwise

    changed()
    malformed()
    for given_key in (b"", b"x", made.content[:-40]):
        with pytest.raises(SignatureError):
            signed_by(TEXT, given_key, signers)


@SSH
def test_a_signature_for_something_else_is_refused(tmp_path: Path) -> None:
    key = key_of(tmp_path, "ssh")
    manifest = sign(TEXT, key, RELEASE, "it").content
    (tmp_path / "signers").write_text(signer_line(key, "ssh"))
    with pytest.raises(SignatureError, match="signed for 'mien-release': sign with -n mien-selection"):
        signed_by(TEXT, manifest, read_signers(tmp_path / "signers"))


@SSH
@pytest.mark.parametrize(
    ("options", "good"),
    [
        ('namespaces="mien-selection" ', True),
        ('namespaces="git,mien-*" ', True),
        ('namespaces="git" ', False),
        ('valid-after="20260101",valid-before="20270101" ', True),
        ('valid-before="20260101Z" ', False),
        ('valid-after="202701010000" ', False),
    ],
)
def test_the_file_of_signers_says_when_and_for_what(tmp_path: Path, options: str, good: bool) -> None:
    """As ssh-keygen itself judges."""
    key = key_of(tmp_path, "ssh")
    signature = sign(TEXT, key, SELECTION, "it").content
    (tmp_path / "signers").write_text("# people\n\n" + signer_line(key, "ssh", options=options))
    (tmp_path / "it.sig").write_bytes(signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "dm@studio", "-n", SELECTION]
    time = f"-Overify-time={WHEN:%Y%m%d%H%M}Z"
    done = subprocess.run([*command, "-s", tmp_path / "it.sig", time], input=TEXT, capture_output=True)
    assert (done.returncode == 0) is good, done.stderr
    if good:
        assert signed_by(TEXT, signature, read_signers(tmp_path / "signers"), now=WHEN) == "dm@studio"
    else:
        with pytest.raises(SignatureError, match="dm@studio"):
            signed_by(TEXT, signature, read_signers(tmp_path / "signers"), now=WHEN)


@pytest.mark.parametrize(
    "line", ["dm@studio", "RWQnonsense", "a ssh-ed25519 AAAA", 'a valid-after="soon" ssh-ed25519 AAAA', '"a', "a b=c d"]
)
def test_a_line_of_signers_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "signers").write_text(f"# one\n{line}\n")
    with pytest.raises(SignatureError, match="line 2"):
        read_signers(tmp_path / "signers")


@pytest.mark.skipif(shutil.which("minisign") is None, reason="needs minisign")
def test_minisign_itself_reads_and_writes_what_we_do(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(TEXT)
    own = studio_key(tmp_path / "keys")
    (tmp_path / "it.minisig").write_bytes(sign(TEXT, own, RELEASE, "faces 1").content)
    subprocess.run(["minisign", "-Vm", "it", "-p", "keys/release.pub"], cwd=tmp_path, check=True)
    subprocess.run(["minisign", "-GW", "-p", "a.pub", "-s", "a.key"], cwd=tmp_path, check=True)
    subprocess.run(["minisign", "-Sm", "it", "-s", "a.key", "-x", "theirs"], cwd=tmp_path, check=True)
    check(TEXT, (tmp_path / "theirs").read_bytes(), PublicKey.given(str(tmp_path / "a.pub")), SELECTION)


def test_the_studios_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        studio_key(tmp_path / "keys")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = studio_key(tmp_path / "keys")
    assert sorted(path.name for path in key.parent.iterdir()) == ["release.key", "release.pub"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert PublicKey.given(str(key.parent / "release.pub")) == public_of(key)
    key.chmod(0o644)
    with pytest.raises(SignatureError, match="can be read by others"):
        sign(TEXT, key, RELEASE, "it")


def selected(studio: Any, where: tuple[str, ...], tmp_path: Path) -> Path:
    studio.subject(ConsentScope.RESEARCH_RELEASE, expressions=("neutral",))
    path = tmp_path / "faces.toml"
    assert CliRunner().invoke(app, ["select", "faces", "--out", str(path), *where]).exit_code == 0
    path.write_text(path.read_text().replace('by = ""\n# on', 'by = "A. Reviewer"\non'))
    return path


@SQLITE
@pytest.mark.parametrize("kind", KINDS)
def test_where_signers_are_named_an_unsigned_file_is_refused(studio: Any, tmp_path: Path, kind: str) -> None:
    home = studio.records.settings.home
    where = ("--home", str(home), "--database", studio.records.settings.database)
    path = selected(studio, where, tmp_path)
    key, stranger = key_of(tmp_path, kind), key_of(tmp_path, kind, "stranger")
    signature = tmp_path / "faces.sig"
    signature.write_bytes(sign(path.read_bytes(), key, SELECTION, "faces").content)
    (home / "signers").write_text(signer_line(key, kind))

    def build(*options: object) -> str:
        arguments = ["build", "faces", "--selection", path, "--out", tmp_path, *where, *options]
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        return str(result.exception) if result.exception else ""

    assert "does not say whose signatures count" in build("--signature", signature)
    (home / "studio.toml").write_text('[release]\nsigners = "signers"\n')
    assert "carries no signature" in build()
    (tmp_path / "wrong").write_bytes(sign(path.read_bytes(), stranger, SELECTION, "faces").content)
    assert "no key of the trusted signers fits" in build("--signature", tmp_path / "wrong")
    path.write_text(path.read_text() + "\n")
    assert "not the bytes that were signed" in build("--signature", signature)
    path.write_text(path.read_text()[:-1])
    assert build("--signature", signature) == ""
    assert "A. Reviewer (signature of dm@studio)" in (tmp_path / "faces-1/datasheet.md").read_text()
    (home / "signers").write_text("# nobody yet\n")
    assert "names nobody" in build("--signature", signature)
    (home / "studio.toml").write_text('[release]\nsignres = "signers"\n')
    result = CliRunner().invoke(app, ["build", "faces", "--selection", str(path), *where])
    assert isinstance(result.exception, SettingsError)
    assert "did you mean 'signers'" in str(result.exception)


@SQLITE
def test_a_manifest_is_signed_and_each_way_of_failing_is_told(studio: Any, tmp_path: Path) -> None:
    studio.subject(ConsentScope.RESEARCH_RELEASE, expressions=("neutral",))
    built = build_release(studio.records, "faces", tmp_path)
    again = build_release(studio.records, "faces", tmp_path)
    folder, key = built.folder, built.key.text
    assert again.key == built.key
    assert (folder / "release.pub").read_text().splitlines()[1] == key
    assert verify(folder).signed_by == verify(folder, signer=key).signed_by == key
    assert verify(folder, signer=str(folder / "release.pub")).intact
    stranger = public_of(key_of(tmp_path, "minisign")).text

    def told(signer: str | None = None) -> list[str]:
        found = verify(folder, signer=signer)
        assert not found.intact
        return [problem.why for problem in found.problems if problem.fault is VerificationFault.SIGNATURE]

    assert told(stranger) == [f"is not by {stranger}: was signed with another key; it is good for {key}"]
    with pytest.raises(SignatureError, match="is no public key"):
        verify(folder, signer="RWQnonsense")
    good = (folder / "manifest.json.minisig").read_bytes()
    (folder / "manifest.json.minisig").write_bytes((again.folder / "manifest.json.minisig").read_bytes())
    assert told() == ["does not fit: these are not the bytes that were signed"]
    (folder / "manifest.json.minisig").unlink()
    assert told() == [f"lost its signature: release.pub names {key}"]
    assert told(key) == [f"is not signed; it should be, with {key}"]
    (folder / "manifest.json.minisig").symlink_to(again.folder / "manifest.json.minisig")
    assert told() == [f"lost its signature: release.pub names {key}"]
    (folder / "manifest.json.minisig").unlink()
    manifest, _ = read_manifest(folder)
    with pytest.raises(SignatureError, match="sign with that one"):
        sign_release(folder, manifest, key_of(tmp_path, "minisign", "another"))
    assert sign_release(folder, manifest, studio.records.settings.keys / "release.key") == key
    assert (folder / "manifest.json.minisig").read_bytes() == good  # the same key and bytes give the same signature
    with pytest.raises(SignatureError, match="is there; move it away"):
        sign_release(folder, manifest, studio.records.settings.keys / "release.key")


@SQLITE
@SSH
def test_a_release_signed_with_an_ssh_key(studio: Any, tmp_path: Path) -> None:
    studio.subject(ConsentScope.RESEARCH_RELEASE, expressions=("neutral",))
    key = key_of(tmp_path, "ssh")
    folder = build_release(studio.records, "faces", tmp_path, BuildRequest(sign_key=key)).folder
    assert not (studio.records.settings.keys / "release.key").exists()
    found = verify(folder, signer=f"{key}.pub")
    assert (found.intact, found.signed_by) == (True, public_of(key).text)
    (tmp_path / "signers").write_text(f"studio {public_of(key).text}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "studio", "-n", RELEASE]
    with (folder / MANIFEST).open("rb") as manifest:
        subprocess.run([*command, "-s", folder / f"{MANIFEST}.sig"], stdin=manifest, check=True, capture_output=True)
    own = studio_key(studio.records.settings.keys)
    sign_release(folder, read_manifest(folder)[0], own)  # a second one, in the other form
    assert check_signature(folder, read_manifest(folder)[0], public_of(own).text).signed_by == public_of(own).text
    assert verify(folder).intact


@SQLITE
def test_sign_and_verify_as_commands(studio: Any, tmp_path: Path) -> None:
    studio.subject(ConsentScope.RESEARCH_RELEASE, expressions=("neutral",))
    where = ("--home", str(studio.records.settings.home), "--database", studio.records.settings.database)
    built = build_release(studio.records, "faces", tmp_path)
    said = CliRunner().invoke(app, ["verify", str(built.folder), *where]).stdout.replace("\n", " ")
    assert f"signed with {built.key.text}, as the release itself says" in said
    (built.folder / "manifest.json.minisig").unlink()
    assert CliRunner().invoke(app, ["verify", str(built.folder), *where]).exit_code == 4
    said = CliRunner().invoke(app, ["sign", str(built.folder), *where]).stdout
    assert f"is signed with {built.key.text}" in said
    result = CliRunner().invoke(app, ["verify", str(built.folder), "--signer", built.key.text, *where])
    assert (result.exit_code, "as the release itself" in result.stdout) == (0, False)


@SQLITE
def test_a_release_is_fetched_with_its_signature_and_one_of_tombstones_too(studio: Any, tmp_path: Path) -> None:
    code = studio.subject(ConsentScope.RESEARCH_RELEASE, expressions=("neutral",))
    key = build_release(studio.records, "faces", tmp_path / "here").key.text
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, code))
    build_release(studio.records, "faces", tmp_path / "here")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "here"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for name in ("faces-1", "faces-2"):
                url = f"http://127.0.0.1:{server.server_port}/{name}"
                fetch_release(url, tmp_path / "mine" / name)
        finally:
            server.shutdown()
            thread.join()
    newest, _ = read_manifest(tmp_path / "mine/faces-2")
    assert verify(tmp_path / "mine/faces-2", signer=key).intact
    (problem,) = verify(tmp_path / "mine/faces-1", signer=key, withdrawn=newest.tombstones).problems
    assert problem.fault is VerificationFault.WITHDRAWN
