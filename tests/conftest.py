"""Fixtures for all tests. Without packages under tests/, the plugin modules beside this file are loaded by path."""

import importlib.util
import sys
from pathlib import Path

import pytest

PLUGINS = ("db_fixtures", "surface_fixtures")


def pytest_configure(config: pytest.Config) -> None:
    for name in PLUGINS:
        module_name = f"mien_tests_{name}"
        spec = importlib.util.spec_from_file_location(module_name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        config.pluginmanager.register(module, module_name)
