"""Lets Ryu 4.34 start on today's eventlet.

``ryu.app.wsgi``, which ryu-manager always imports, takes the name ``ALREADY_HANDLED`` from
``eventlet.wsgi``; eventlet dropped it in 0.30.3. Ryu uses it only as what a handler of its own
web sockets returns, so any object of its own kind will do.

``make controller`` also puts this file into Ryu's virtual environment, named by a ``.pth`` file,
so that ``ryu-manager`` itself starts unchanged: then :func:`watch` waits for the import of
``eventlet.wsgi`` and costs other programs nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from types import ModuleType

_NAME = "eventlet.wsgi"


def apply() -> None:
    """Give ``eventlet.wsgi`` what Ryu wants from it."""
    _mend(importlib.import_module(_NAME))


def _mend(module: ModuleType) -> None:
    if not hasattr(module, "ALREADY_HANDLED"):
        module.ALREADY_HANDLED = object()  # type: ignore[attr-defined]


class _Mending(importlib.abc.Loader):
    """Loads as another loader does, then mends."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec):  # type: ignore[no-untyped-def]
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _mend(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds eventlet.wsgi, once."""

    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Mending(spec.loader)
        return spec


def watch() -> None:
    """Mend ``eventlet.wsgi`` as soon as anybody imports it."""
    sys.meta_path.insert(0, _Finder())
