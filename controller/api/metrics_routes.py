"""/metrics: the studio's figures, for Prometheus."""

import threading
from collections.abc import Callable, Mapping

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad, StudioCollector
from controller.studio import Studio


def metrics_router(
    studio: Studio, scrape: ScrapeToken | None, may_read: Callable[[Mapping[str, str]], bool], load: ConsoleLoad
) -> APIRouter:
    """GET /metrics wants `Authorization: Bearer` with the scrape token, or whatever `may_read` takes in the headers.

    scrape: None where there is none. One answer is made at a time.
    """
    api = APIRouter()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StudioCollector(studio, load))
    ProcessCollector(registry=registry)
    making = threading.Lock()

    @api.get("/metrics")
    def metrics(request: Request) -> Response:
        shown = scrape is not None and scrape.shown(request.headers.get("authorization", ""))
        if not (shown or may_read(request.headers)):
            raise HTTPException(401, "the figures want the token that lies in metrics.token of the studio's home")
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        with making:
            return Response(encode(registry), headers={"Content-Type": content_type})

    return api
