"""What users type: `tickglass COMMAND`. Reference: docs/cli.md.

A command lives in a module of its own group, which is imported when it is
first needed; a new one adds its line here, in the order in which help shows them.
"""

from __future__ import annotations

from typing import Final

import click

from tickglass.cli.lazy_group import LazyGroup

__all__ = ["main"]

COMMANDS: Final = {
    "demo": "tickglass.cli.commands.demo:demo",
    "run": "tickglass.cli.commands.run:run",
    "sidecar": "tickglass.cli.commands.sidecar:sidecar",
    "watch": "tickglass.cli.commands.watch:watch",
    "why": "tickglass.cli.commands.why:why",
    "plan": "tickglass.cli.commands.plan:plan",
    "next": "tickglass.cli.commands.next:next_instants",
    "jobs": "tickglass.cli.commands.inspect:jobs",
    "locks": "tickglass.cli.commands.inspect:locks",
    "runs": "tickglass.cli.commands.inspect:runs",
    "instances": "tickglass.cli.commands.instances:instances",
    "pause": "tickglass.cli.commands.acts:pause",
    "resume": "tickglass.cli.commands.acts:resume",
    "skip": "tickglass.cli.commands.acts:skip",
    "trigger": "tickglass.cli.commands.acts:trigger",
    "cancel": "tickglass.cli.commands.acts:cancel",
    "unlock": "tickglass.cli.commands.acts:unlock",
    "drain": "tickglass.cli.commands.acts:drain",
    "undrain": "tickglass.cli.commands.acts:undrain",
    "orders": "tickglass.cli.commands.audit:orders",
    "audit": "tickglass.cli.commands.audit:audit",
    "forget": "tickglass.cli.commands.forget:forget",
    "import": "tickglass.cli.commands.imports:imports",
    "dashboards": "tickglass.cli.commands.dashboards:dashboards",
    "alerts": "tickglass.cli.commands.alerts:alerts",
    "completion": "tickglass.cli.commands.completion:completion",
}


@click.group(cls=LazyGroup, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tickglass", prog_name="tickglass")
def main() -> None:
    """A scheduler you can see through: what ran, what did not, how late, and who holds what.

    \b
    See it work:           tickglass demo
    Run your own:          tickglass run app:scheduler
    Watch it, beside it:   tickglass sidecar --store sqlite:///jobs.db
    ... from a terminal:   tickglass watch
    Why did it not run?    tickglass why reconcile 2026-01-31T02:30
    What would change?     tickglass plan app:scheduler
    When is it due?        tickglass next "0 30 2 * * ?" --tz Asia/Shanghai
    What is going on?      tickglass jobs
    Who holds what?        tickglass locks redis://localhost:6379
    What became of it?     tickglass runs --job reconcile
    Which instances live?  tickglass instances
    Stop it for a while:   tickglass pause reconcile --for 2h --reason "..."
    Who did that?          tickglass audit

    Only run, forget and the acts from pause to undrain change a store; the others can
    be used at any time. The store is the one that is named, or TICKGLASS_STORE, or
    jobs.db in this folder; add --json for machines.

    Exit codes: 0 done, 1 no answer or refused, 2 an argument is wrong, 3 the store
    or the sidecar cannot be reached, 4 runs were left that did not end.
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
