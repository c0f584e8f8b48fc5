"""Address of a link: which place of a server it names."""

from urllib.parse import unquote, urlsplit

from db.models import Grant
from processing.release.formats.errors import AccessError


def address_and_place(url: str, grant: Grant) -> tuple[str, str]:
    """'https://host/data/faces-3' -> ('https://host/data', 'faces-3'): what stands before the release's folder, what
    the link is for. Raises AccessError for an address outside of the grant's release.
    """
    parsed = urlsplit(url)
    parts = [unquote(part) for part in parsed.path.split("/") if part]
    start = next((n for n, part in enumerate(parts) if part.startswith(f"{grant.release_name}-")), None)
    version = parts[start].removeprefix(f"{grant.release_name}-") if start is not None else ""
    if start is None or not version.isdecimal() or parsed.query or parsed.fragment:
        raise AccessError(f"{grant.code} is for {grant.release_name}: give https://host/{grant.release_name}-VERSION")
    last = grant.last_version or int(version)
    if not grant.first_version <= int(version) <= last:
        raise AccessError(f"{grant.code} is not for version {version} of {grant.release_name}")
    before = "/".join(parts[:start])
    return f"{parsed.scheme}://{parsed.netloc}" + (f"/{before}" if before else ""), "/".join(parts[start:])
