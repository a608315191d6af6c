"""The command `ovsct`: its subcommands, its exit codes, and how errors end it.

Exit codes: 0 done (``diff``: all lanes alike), 1 a divergence (``diff`` only), 2 something the
user gave cannot be used, 3 a defect of ovsct. 130 after Ctrl-C, 141 if nobody reads its output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from ovsct import __version__
from ovsct.errors import OvsctError

BAD_INPUT: Final = 2
DEFECT: Final = 3
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141

_COMMANDS: Final[dict[str, str]] = {
    "diff": "Run lanes in lock step and say where they differ, and why.",
    "run": "Run packets through one lane.",
    "trace": "Follow packets step by step, conntrack state carried along.",
    "lower": "Print what each lane has installed: datapath flows, tc commands, NIC rules.",
    "offload": "Say which megaflows are offloaded, and why the others are not.",
    "verify": "Hold the model against a real ovs-vswitchd.",
    "fuzz": "Campaigns of generated cases against a real ovs-vswitchd.",
    "oracle": "Real kernels as judges: what is here, and how to get it.",
    "scenario": "Work with scenario files.",
    "explain": "Say OpenFlow messages as ovs-ofctl commands, flows as messages and Ryu calls.",
    "switch": "Run a modelled bridge that ovs-ofctl and controllers can talk to.",
}
"""The subcommands. Each is a module of its own, imported when it is asked for."""


class _NobodyReads(Exception):
    """Standard output is closed at its other end."""


class Ovsct(click.Group):
    """The group of subcommands; every error that leaves it is one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, the main one first."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand `cmd_name`, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"ovsct.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, without importing them all."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            # click would end with 1, which says that lanes differ.
            raise _NobodyReads from error
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit with its code."""
        sys.exit(self._guarded(args, prog_name or "ovsct", extra))

    def _guarded(self, args: Sequence[str] | None, name: str, extra: dict[str, Any]) -> int:
        try:
            code = super().main(args, name, standalone_mode=False, **extra)
        except OvsctError as error:
            return _complain(str(error))
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx is not None else name
            return _complain(f"{error.format_message()} (see {path} --help)", path)
        except click.ClickException as error:
            return _complain(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except (BrokenPipeError, _NobodyReads):
            # What is still buffered has no reader either: the interpreter must not try again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return NOBODY_READS
        except Exception as error:
            if os.environ.get("OVSCT_DEBUG"):
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())
            click.echo(f"ovsct: defect: {what} (OVSCT_DEBUG=1 shows where)", err=True)
            return DEFECT
        return code if isinstance(code, int) else 0


def _complain(message: str, path: str = "ovsct") -> int:
    click.echo(f"{path}: {' '.join(message.split())}", err=True)
    return BAD_INPUT


@click.group(
    name="ovsct",
    cls=Ovsct,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done (diff: all alike), 1 lanes differ, 2 bad input, 3 a defect.",
)
@click.version_option(__version__, prog_name="ovsct")
@click.pass_context
def cli(context: click.Context) -> None:
    """A model of an Open vSwitch bridge, of the TC chains and of the NIC it is offloaded to."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """The entry point of the installed command."""
    cli()
