"""The bar and the faults for people, in a terminal."""

from collections.abc import Mapping
from typing import Any

MARKS = {"fault": "FAULT", "warning": "look"}


def print_readiness(answer: Mapping[str, Any]) -> None:
    """The bar's line, then each fault with what to do, the worst first."""
    bar = answer["bar"]
    print(f"{bar['word']}: {bar['text']}" if bar["text"] else bar["word"])
    for fault in sorted(answer["faults"].values(), key=lambda fault: fault["rank"]):
        print(f"  {MARKS[fault['level']]:<5}  {fault['text']}")
        if remedy := fault.get("remedy"):
            print(f"           {remedy_text(remedy)}")


def remedy_text(remedy: Mapping[str, Any]) -> str:
    """ "Look at the power ...:  mien rig aside cam-17 --reason '...'" """
    text = str(remedy["text"])
    return f"{text}:  {remedy['command']}" if "command" in remedy else text


def named_in(answer: Mapping[str, Any]) -> set[str]:
    """Cameras that the faults tell of."""
    return {camera for fault in answer["faults"].values() for camera in fault["cameras"]}
