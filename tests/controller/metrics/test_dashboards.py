"""What deploy/ offers for Prometheus and Grafana asks for figures that the studio has, by labels that they have."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

import mien
from controller.metrics.studio_collector import ConsoleLoad, StudioCollector
from controller.rig_file import Rig
from controller.studio_settings import CONSOLE_PORT

DEPLOY = Path(mien.__file__).parent / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "mien-studio.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "mien-alerts.yml").read_text())
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
NAME = re.compile(r"\b(?:mien|process)_[a-z_]+\b")
OF_PROMETHEUS = {"instance", "job"}


def asked() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard and of the rules, with what asks."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


@pytest.fixture
def exported(home: Any, rig_of: Callable[..., Rig]) -> dict[str, set[str]]:
    """Name of a sample, as Prometheus stores it -> its labels."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StudioCollector(home.open(rig_of(2)), ConsoleLoad()))
    ProcessCollector(registry=registry)
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        name = f"{family.name}_info" if family.type == "info" else name
        labels = found.setdefault(name, set(getattr(family, "_labelnames", ())))
        for sample in family.samples:
            labels |= set(sample.labels)
    return found


def test_every_metric_that_is_asked_for_is_exported(exported: dict[str, set[str]]) -> None:
    expressions = list(asked())
    assert len(expressions) > 35
    named = {(where, name) for where, expression in expressions for name in NAME.findall(expression)}
    assert len({name for _, name in named}) > 20
    assert {(where, name) for where, name in named if name not in exported} == set()


def test_every_label_that_is_asked_for_is_one_that_the_metric_has(exported: dict[str, set[str]]) -> None:
    wrong = []
    for where, expression in asked():
        for name, inside in re.findall(r"\b(mien_[a-z_]+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
            wrong += [(where, name, label) for label in labels - OF_PROMETHEUS - exported[name]]
        of_all = {label for name in NAME.findall(expression) for label in exported[name]} | OF_PROMETHEUS
        for inside in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            wrong += [(where, label) for label in re.split(r",\s*", inside) if label not in of_all]
    assert wrong == []


def test_every_rule_says_what_is_wrong_and_what_to_do_in_labels_that_it_has(exported: dict[str, set[str]]) -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 10
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "remedy"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        used = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        first = NAME.findall(rule["expr"])
        assert set(used) <= (exported[first[0]] if first else set()), rule["alert"]


def test_brackets_of_every_expression_close() -> None:
    for where, expression in asked():
        depth = 0
        for sign in re.sub(r'"[^"]*"', "", expression):
            depth += sign in "({["
            depth -= sign in ")}]"
            assert depth >= 0, where
        assert depth == 0, where


def test_panels_lie_beside_each_other_and_each_asks_the_chosen_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${source}"
        assert panel["targets"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_compose_brings_prometheus_to_the_studio_and_its_token() -> None:
    scrape = PROMETHEUS["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"127.0.0.1:{CONSOLE_PORT}"]
    token = scrape["authorization"]["credentials_file"]
    assert any(volume.split(":")[1] == token for volume in map(_mounted, COMPOSE["prometheus"]["volumes"]))
    assert PROMETHEUS["rule_files"] == ["/etc/prometheus/mien-alerts.yml"]
    for name in ("prometheus", "grafana"):
        assert COMPOSE[name]["profiles"] == ["metrics"]
        for volume in COMPOSE[name]["volumes"]:
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume
    said = " ".join(COMPOSE["prometheus"]["command"])
    assert "--web.listen-address=127.0.0.1:9090" in said
    assert COMPOSE["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def _mounted(volume: str) -> str:
    return re.sub(r"\$\{[^}]*\}", "HOME", volume)
