"""Fixtures for all tests. Without packages under tests/, the plugin modules beside this file are loaded by path."""

import gc
import importlib.util
import os
import sys
from pathlib import Path

import hypothesis
import pytest

PLUGINS = ("db_fixtures", "surface_fixtures")
LONGEST = (
    "system/test_demo.py",
    "texture/test_texture_projection.py",
    "release/studio/export/test_facescape_layout.py",
)  # begun first
BOTH_DATABASES = ("db", "farm/test_daemon_dispatch.py", "farm/test_daemon_faults.py")


# Threads of PyTorch that wait for each other sleep: where workers share processors, spinning takes ten times the work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# One thread for each sum of arrays, as mien.py sets it: workers are as many as there are processors, or more.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# How long an example takes is no test of it: by default 200 ms are, and a slow generator is held to be at fault.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    # What is imported stays: to look through it for garbage every few thousand objects is a tenth of all the work.
    gc.set_threshold(50_000, 20, 20)
    os.umask(0o077)  # as every command sets it: homes that tests make are closed, as studios' are
    for name in PLUGINS:
        module_name = f"mien_tests_{name}"
        spec = importlib.util.spec_from_file_location(module_name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        config.pluginmanager.register(module, module_name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one of them when the others are done.

    Where a test does not choose its databases, PostgreSQL is for every day in the rooms that speak SQL, elsewhere slow.
    """
    here = Path(__file__).parent
    for item in items:
        speaks_sql = any(item.path.is_relative_to(here / place) for place in BOTH_DATABASES)
        if isinstance(item, pytest.Function) and not speaks_sql and _second_database(item):
            item.add_marker(pytest.mark.slow)
    order = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _second_database(item: pytest.Function) -> bool:
    if any(mark.args[0] == "database_url" for mark in item.iter_markers("parametrize")):
        return False
    values = item.callspec.params if hasattr(item, "callspec") else {}
    return any(isinstance(value, str) and value == "postgresql" for value in values.values())
