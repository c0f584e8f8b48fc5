"""The stream of one studio: its snapshots, published as its bell is rung."""

from controller.console.state.snapshot import Snapshot
from controller.console.stream.publisher import Publisher
from controller.studio import Studio
from controller.trigger.trigger import Trigger


def publish(studio: Studio, trigger: Trigger) -> Publisher:
    """A publisher of the studio's state that ends with the studio, and the trigger before it."""
    publisher = Publisher(studio.bell, Snapshot(studio, trigger))
    studio.at_stop(publisher.stop)
    studio.at_stop(trigger.stop)
    return publisher
