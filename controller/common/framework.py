"""Ryu or os-ken, whichever is installed: the one place that knows their names.

os-ken is Ryu's maintained fork with the same API under another name, so every other module here
takes its names from this one and runs on both unchanged.
"""

from __future__ import annotations

import importlib.util

from controller.common import eventlet_fix

RYU = importlib.util.find_spec("ryu") is not None
"""Whether it is Ryu that runs; os-ken otherwise."""

if RYU:
    eventlet_fix.apply()
    from ryu import cfg
    from ryu.base import app_manager
    from ryu.controller import ofp_event
    from ryu.controller.handler import (
        CONFIG_DISPATCHER,
        DEAD_DISPATCHER,
        MAIN_DISPATCHER,
        set_ev_cls,
    )
    from ryu.lib import hub
    from ryu.ofproto import nicira_ext, ofproto_v1_3, ofproto_v1_3_parser

    BaseApp = app_manager.RyuApp
else:
    from os_ken import cfg
    from os_ken.base import app_manager
    from os_ken.controller import ofp_event
    from os_ken.controller.handler import (
        CONFIG_DISPATCHER,
        DEAD_DISPATCHER,
        MAIN_DISPATCHER,
        set_ev_cls,
    )
    from os_ken.lib import hub
    from os_ken.ofproto import nicira_ext, ofproto_v1_3, ofproto_v1_3_parser

    BaseApp = app_manager.OSKenApp

__all__ = [
    "CONFIG_DISPATCHER",
    "DEAD_DISPATCHER",
    "MAIN_DISPATCHER",
    "RYU",
    "BaseApp",
    "app_manager",
    "cfg",
    "hub",
    "nicira_ext",
    "ofp_event",
    "ofproto_v1_3",
    "ofproto_v1_3_parser",
    "set_ev_cls",
]
