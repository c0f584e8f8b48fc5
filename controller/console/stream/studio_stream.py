"""The stream of one studio: its snapshots, published as its bell is rung."""

from controller.console.state.snapshot import Snapshot
from controller.console.stream.publisher import Publisher
from controller.studio import Studio


def publish(studio: Studio) -> Publisher:
    """A publisher that ends with the studio."""
    publisher = Publisher(studio.bell, Snapshot(studio))
    studio.at_stop(publisher.stop)
    return publisher
