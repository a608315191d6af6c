"""``ovsct scenario``: what helps with writing scenario files."""

from __future__ import annotations

import click

from ovsct.errors import InputError


@click.group()
def scenario() -> None:
    """Work with scenario files; ovsct diff runs them."""


@scenario.command()
def schema() -> None:
    """Print the JSON schema of scenario files, for editors."""
    import json

    from ovsct.compare.scenario import Scenario

    click.echo(json.dumps(Scenario.model_json_schema(), indent=2))


@scenario.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Read scenario files, their flows, groups and events, and run nothing."""
    from ovsct.cli.setup import warn
    from ovsct.compare.scenario import read_scenario
    from ovsct.lane import Arrival

    for file in files:
        read = read_scenario(file)
        setup = read.setup
        flows, groups = setup.parsed_flows, setup.parsed_groups
        warn(setup)
        packets = sum(isinstance(each, Arrival) for each in read.happenings())
        if not flows and not setup.tc_script:
            raise InputError("neither flows nor tc_script", file=file, hint="a lane needs one")
        text = f"{len(flows)} flows, {packets} packets"
        click.echo(f"{file}: {text}" + (f", {len(groups)} groups" if groups else ""))
