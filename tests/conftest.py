"""Fixtures for all tests. Without packages under tests/, the plugin modules beside this file are loaded by path."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

PLUGINS = ("db_fixtures", "surface_fixtures")
LONGEST = ("system/test_demo.py", "release/test_facescape_layout.py", "release/test_pictures.py")  # begun first


def pytest_configure(config: pytest.Config) -> None:
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one of them when the others are done."""
    here = Path(__file__).parent
    order = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
