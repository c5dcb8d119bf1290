"""Find the calls that give jobs to APScheduler, and read each of them.

Pure. Calls are known by their names: `add_job`, `scheduled_job`.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.importing.apscheduler_triggers import POSITIONS, duration_of, from_crontab, said
from tickglass.importing.jobs_text import Draft, Kept, is_writable
from tickglass.importing.literals import CannotSay
from tickglass.sched.durations import SECOND, duration_text
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import GRACE_MAX_NS, checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tickglass.importing.apscheduler_triggers import Said
    from tickglass.importing.literals import Values
    from tickglass.importing.targets import Targets

__all__ = ["Call", "JobReader", "Settings", "calls_of"]

_ADD_JOB: Final = (
    *("func", "trigger", "args", "kwargs", "id", "name", "misfire_grace_time", "coalesce", "max_instances"),
    *("next_run_time", "jobstore", "executor", "replace_existing"),
)
_OF_THE_JOB: Final = frozenset(_ADD_JOB)
_KINDS: Final = {"CronTrigger": "cron", "IntervalTrigger": "interval", "DateTrigger": "date"}
_SCHEDULERS: Final = (
    *("AsyncIOScheduler", "BackgroundScheduler", "BlockingScheduler", "GeventScheduler", "QtScheduler"),
    *("TornadoScheduler", "TwistedScheduler", "configure"),
)
_REPEATING: Final = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_STORES: Final = "jobs that are in a job store alone are pickled, and are not read"


class Call(NamedTuple):
    """A call that gives a job.

    Args:
        function: what the decorator stands above; None: the call itself names the function.
        line: the first line of the call, counted from 1.
        repeated: whether it is in a loop.
        conditional: whether it is under a condition.
    """

    node: ast.Call
    function: ast.FunctionDef | ast.AsyncFunctionDef | None
    line: int
    end_line: int
    repeated: bool
    conditional: bool


def calls_of(module: ast.Module) -> Iterator[Call]:
    """Yield the calls that give jobs, in the order of the code."""
    yield from _calls_in(module, repeated=False, conditional=False)


def _calls_in(node: ast.AST, *, repeated: bool, conditional: bool) -> Iterator[Call]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for each in node.decorator_list:
            if _called(each) == "scheduled_job" and isinstance(each, ast.Call):
                yield Call(each, node, each.lineno, node.lineno, repeated, conditional)
        repeated = conditional = False  # a function is read as if it were called once
    elif isinstance(node, ast.Call) and _called(node) == "add_job":
        yield Call(node, None, node.lineno, node.end_lineno or node.lineno, repeated, conditional)
    repeated = repeated or isinstance(node, _REPEATING)
    conditional = conditional or (isinstance(node, ast.If) and not _is_main(node)) or isinstance(node, ast.IfExp)
    for child in ast.iter_child_nodes(node):
        yield from _calls_in(child, repeated=repeated, conditional=conditional)


def _is_main(node: ast.If) -> bool:
    """Return whether this is `if __name__ == "__main__"`."""
    return ast.unparse(node.test).replace("'", '"') in {'__name__ == "__main__"', '"__main__" == __name__'}


def _called(node: ast.expr) -> str:
    """Return the last name of what is called; "" if nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


class Settings:
    """What the program says of all its jobs: the scheduler's zone and its defaults.

    Attributes:
        tz: the zone of the scheduler, for triggers by their short names; None: not known.
        machine_tz: the zone of the machine, for trigger objects; None: not known.
        defaults: of jobs, by the names of `add_job`.
        kept: what is said of job stores, and of settings that are not known.
    """

    def __init__(self, module: ast.Module, values: Values, tz: str | None) -> None:
        self.machine_tz = tz
        self.tz: Any = tz
        self.defaults: dict[str, Any] = {}
        self.kept: list[Kept] = []
        for node in ast.walk(module):
            name = _called(node) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in _SCHEDULERS:
                self._read(node, values)
            elif isinstance(node, ast.Call) and name == "add_jobstore":
                self._keep(node, _STORES)

    def _read(self, call: ast.Call, values: Values) -> None:
        for word in call.keywords:
            try:
                if word.arg == "timezone":
                    self.tz = values.of(word.value, "timezone=")
                elif word.arg == "job_defaults":
                    self.defaults |= values.of(word.value, "job_defaults=")
                elif word.arg == "jobstores":
                    self._keep(call, _STORES)
            except CannotSay as error:
                self._keep(call, str(error))

    def _keep(self, call: ast.Call, remark: str) -> None:
        self.kept.append(Kept(line=call.lineno, text=ast.unparse(call), remarks=(remark,)))


class JobReader:
    """Reads the calls of one program.

    Attributes:
        zone_is_missing: whether a trigger goes by a zone that nothing names.
    """

    def __init__(self, values: Values, targets: Targets, settings: Settings) -> None:
        self._values = values
        self._targets = targets
        self._settings = settings
        self.zone_is_missing = False

    def draft(self, call: Call) -> Draft:
        """Return the job of a call.

        Raises:
            CannotSay: it cannot be said.
        """
        given = self._arguments(call)
        target = self._target(call, given)
        trigger = self._trigger(given)
        self.zone_is_missing = self.zone_is_missing or trigger.needs_zone
        remarks = [*trigger.remarks, *_about_place(call)]
        settings: dict[str, object] = {}
        arguments = self._call_arguments(target, given)
        if arguments:
            settings["arguments"] = arguments
        first = self._targets.first_parameter(target)
        if first and first not in arguments:
            remarks.append(f"no argument names the function's first parameter, {first}: here it gets the run")
        settings |= self._policies(given, remarks)
        name = self._name(given, target, remarks)
        return Draft(
            name=name, line=call.line, target=target, trigger=trigger.text, settings=settings, remarks=tuple(remarks)
        )

    def _arguments(self, call: Call) -> dict[str, ast.expr]:
        """Return the arguments by name.

        Raises:
            CannotSay: some are not written there.
        """
        node = call.node
        if any(isinstance(each, ast.Starred) for each in node.args) or any(word.arg is None for word in node.keywords):
            raise CannotSay("arguments that are unpacked with * or ** are not known")
        names = _ADD_JOB if call.function is None else _ADD_JOB[1:]
        return {**dict(zip(names, node.args, strict=False)), **{word.arg or "": word.value for word in node.keywords}}

    def _target(self, call: Call, given: Mapping[str, ast.expr]) -> str:
        if call.function is not None:
            if not self._targets.is_of_module(call.function):
                raise CannotSay(f"{call.function.name} is in a class or a function, so no other module can name it")
            return self._targets.of(ast.Name(call.function.name))
        if "func" not in given:
            raise CannotSay("no function is named")
        return self._targets.of(given["func"])

    def _trigger(self, given: Mapping[str, ast.expr]) -> Said:
        if "trigger" not in given:
            raise CannotSay("without a trigger it is due when the program adds it, and that is no instant")
        node = self._values.resolved(given["trigger"])
        if isinstance(node, ast.Call):
            kind, words = self._of_object(node)
            return said(kind, words, self._settings.machine_tz)
        kind = self._values.of(node, "the trigger")
        if kind not in POSITIONS:
            raise CannotSay(f"there is no trigger like this here: {kind!r}")
        words = {name: self._values.of(value, f"{name}=") for name, value in given.items() if name not in _OF_THE_JOB}
        return said(kind, words, self._settings.tz)

    def _of_object(self, node: ast.Call) -> tuple[str, dict[str, Any]]:
        """Return kind and arguments of a trigger object."""
        kind = "cron" if _is_from_crontab(node) else _KINDS.get(_called(node))
        if kind is None:
            raise CannotSay(f"there is no trigger like this here: {ast.unparse(node)}")
        words = [self._values.of(each, "an argument of the trigger") for each in node.args]
        named = {word.arg or "**": self._values.of(word.value, f"{word.arg}=") for word in node.keywords}
        if _is_from_crontab(node):
            expression, *zone = [*words, *([named.pop("expr")] if "expr" in named else [])]
            return "cron", {**from_crontab(str(expression)), **({"timezone": zone[0]} if zone else {}), **named}
        return kind, {**dict(zip(POSITIONS[kind], words, strict=False)), **named}

    def _call_arguments(self, target: str, given: Mapping[str, ast.expr]) -> dict[str, object]:
        words = self._values.of(given["args"], "args=") if "args" in given else None
        named = self._values.of(given["kwargs"], "kwargs=") if "kwargs" in given else None
        arguments = {**(self._targets.by_name(target, words) if words else {}), **(named or {})}
        if not is_writable(arguments):
            raise CannotSay(f"an argument of the function has no form in TOML: {arguments}")
        return arguments

    def _policies(self, given: Mapping[str, ast.expr], remarks: list[str]) -> dict[str, object]:
        found = dict(self._settings.defaults)
        for name in ("misfire_grace_time", "coalesce", "max_instances", "next_run_time", "executor"):
            try:
                found |= {name: self._values.of(given[name], f"{name}=")} if name in given else {}
            except CannotSay as error:
                found.pop(name, None)
                remarks.append(str(error))
        remarks += _about_policies(found)
        if "misfire_grace_time" not in found:
            return {}
        return {"misfire_grace": _grace(found["misfire_grace_time"], remarks)}

    def _name(self, given: Mapping[str, ast.expr], target: str, remarks: list[str]) -> str:
        function = target.partition(":")[2]
        if "id" not in given:
            return function
        try:
            return checked_name(self._values.of(given["id"], "id="), "job name")
        except CannotSay as error:
            remarks.append(f"{error}; the name is that of the function")
        except ConfigError as error:
            remarks.append(f"{error.problem}; the name is that of the function")
        return function


def _is_from_crontab(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and ast.unparse(node.func).endswith("CronTrigger.from_crontab")


def _about_place(call: Call) -> Sequence[str]:
    repeated = ("it is in a loop, which may add several jobs; one is written",) if call.repeated else ()
    return (*repeated, *(("it is added under a condition; here always",) if call.conditional else ()))


def _about_policies(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs.

    Raises:
        CannotSay: the job is not to run at all.
    """
    if "next_run_time" in found:
        if found["next_run_time"] is None:
            raise CannotSay(
                "next_run_time=None adds it paused; here a job runs from the start on: `tickglass pause` it"
            )
        yield "next_run_time= cannot be said: its first run is at the first instant of its trigger"
    instances = found.get("max_instances", 1)
    if instances != 1:
        yield f"max_instances={instances!r} cannot be said: runs of a job do not overlap, such instants are skipped"
    if found.get("coalesce", True) is False:
        yield "coalesce=False cannot be said: instants that pass while it cannot run are not made up for"
    if found.get("executor", "default") != "default":
        yield f"executor={found['executor']!r} cannot be said: functions run on threads, coroutines on an event loop"


def _grace(seconds: object, remarks: list[str]) -> str:
    longest = duration_text(GRACE_MAX_NS)
    if seconds is None:
        remarks.append(f"misfire_grace_time=None is without limit; here it is at most {longest}")
        return longest
    if isinstance(seconds, int | float) and seconds * SECOND > GRACE_MAX_NS:
        remarks.append(f"misfire_grace_time={seconds} is longer than the longest here, {longest}")
        return longest
    return duration_of(seconds, "misfire_grace_time")
