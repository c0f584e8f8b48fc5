"""HTTP transport for a link list: each file of a release is asked for at its own link."""

from urllib.parse import unquote

import httpx

from processing.release.formats.errors import AccessError
from processing.release.formats.link_list import LinkList
from processing.release.holder.download import TIMEOUT


class LinkListTransport(httpx.BaseTransport):
    """Answers for a release's folder by asking its links."""

    def __init__(self, links: LinkList) -> None:
        self._links = links
        self._through = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = unquote(request.url.raw_path.decode("ascii")).removeprefix(f"/{self._links.name}-{self._links.version}/")
        url = self._links.by_path.get(path)
        if url is None:
            return httpx.Response(404, request=request)
        kept = {name: request.headers[name] for name in ("range", "accept-encoding") if name in request.headers}
        answer = self._through.handle_request(httpx.Request("GET", url, headers=kept))
        if answer.status_code == httpx.codes.FORBIDDEN:
            answer.close()
            raise AccessError(f"the links to {self._links.name} {self._links.version} have expired; ask for new ones")
        return answer

    def close(self) -> None:
        self._through.close()


def client_for(links: LinkList) -> httpx.Client:
    """A client for fetch_release(links.url, client=...)."""
    return httpx.Client(transport=LinkListTransport(links), timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})
