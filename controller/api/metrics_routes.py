"""/metrics: the studio's figures, for Prometheus."""

import threading

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from controller.accounts.roles import require
from controller.metrics.studio_collector import ConsoleLoad, StudioCollector
from controller.studio import Studio


def metrics_router(studio: Studio, load: ConsoleLoad) -> APIRouter:
    """GET /metrics, for who may look and for who shows the scrape token. One answer is made at a time."""
    api = APIRouter()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StudioCollector(studio, load))
    ProcessCollector(registry=registry)
    making = threading.Lock()

    @api.get("/metrics", dependencies=[require("viewer")])
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        with making:
            return Response(encode(registry), headers={"Content-Type": content_type})

    return api
