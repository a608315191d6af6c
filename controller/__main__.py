"""Runs an application under Ryu or os-ken, whichever is installed.

    python -m controller stateful_firewall --policy firewall.yaml

With ``--flows`` nothing is run: the flows that the policy becomes are printed as ovs-ofctl takes
them, which needs neither library.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from controller.common import eventlet_fix
from controller.common.document import PolicyError, load
from controller.common.settings import POLICY, REST, address_and_port, read_policy

APPS = {
    "load_balancer": "balancer",
    "nat_gateway": "nat",
    "security_groups": "groups",
    "stateful_firewall": "firewall",
}
"""Each application, and the module of its policy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m controller", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("app", choices=sorted(APPS))
    parser.add_argument("--policy", help="the file of the policy; without it, an empty one")
    parser.add_argument("--rest", default="127.0.0.1:8080", help="address:port, or off")
    parser.add_argument("--openflow", default="127.0.0.1:6653", help="where switches connect to")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--flows", action="store_true", help="print the flows and end")
    shown.add_argument("--groups", action="store_true", help="print the groups and end")
    given = parser.parse_args(arguments)
    try:
        if given.rest != "off":
            address_and_port(given.rest, "--rest")
        openflow = address_and_port(given.openflow, "--openflow")
        document = read_policy(given.policy) if given.policy else load("")
        program = import_module(f"controller.policy.{APPS[given.app]}").parse(document).compile()
    except PolicyError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if given.flows or given.groups:
        for each in program.flows if given.flows else program.groups:
            sys.stdout.write(f"{each}\n")
        return 0
    os.environ[REST] = given.rest
    if given.policy:
        os.environ[POLICY] = given.policy
    return _run(f"controller.{given.app}", *openflow)


def _run(module: str, host: str, port: int) -> int:
    flags = [f"--ofp-listen-host={host}", f"--ofp-tcp-listen-port={port}"]
    if find_spec("ryu") is not None:
        eventlet_fix.apply()
        from ryu.cmd import manager  # patches the standard library: before all that uses it

        manager.main(args=[*flags, module], prog="ryu-manager")
        return 0
    if find_spec("os_ken") is None:
        sys.stderr.write("neither Ryu nor os-ken is installed: make controller, and see docs\n")
        return 1
    from controller.common.framework import app_manager, cfg

    import_module("os_ken.controller.controller")  # registers the flags

    cfg.CONF(args=flags, project="os_ken")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    app_manager.AppManager.run_apps([module])
    return 0


if __name__ == "__main__":
    sys.exit(main())
