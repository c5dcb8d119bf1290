"""Decide whether a job is well declared, and hold what was declared.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict, get_args

from tickglass.sched.durations import MS, SECOND, Duration, duration_ns, duration_text
from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.identity import JobId, declaration_of, target_of
from tickglass.sched.policies.misfire import grace_for_ns
from tickglass.sched.policies.preference import Preference, checked_preference
from tickglass.sched.triggers import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.run import Run

__all__ = [
    "GRACE_MAX_NS",
    "Callee",
    "Callees",
    "Job",
    "Policies",
    "callee_of",
    "check_policies",
    "checked_flag",
    "checked_name",
    "checked_trigger",
    "declare",
]

TTL_DEFAULT: Final = "30s"
TTL_MIN_NS: Final = 50 * MS  # below, a renewal does not fit between two scheduling hiccups
GRACE_MAX_NS: Final = 12 * 3_600 * SECOND  # the ledger remembers a day; a claim must not outlive it
UNRENEWED_SLACK_NS: Final = 5 * SECOND  # a lease that is not renewed outlasts the longest run by this much
NAME_MAX: Final = 200
_KINDS: Final = "a job is a plain or a coroutine function"
_REMEMBERED: Final = 64  # functions: programs with thousands of jobs have few

OnOutage = Literal["skip", "run"]
OnTimeout = Literal["hold", "release"]


class Policies(TypedDict, total=False):
    """What may be said of a job beside its function and trigger; see `declare`."""

    name: str
    resource: str
    ttl: Duration
    timeout: Duration
    misfire_grace: Duration
    renew: bool
    rerun_orphaned: bool
    on_outage: OnOutage
    on_timeout: OnTimeout
    prefer: str | Preference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A named callable with a trigger and policies; made by `declare`.

    Args:
        function: takes the `Run`, or nothing.
        wants_run: whether it takes the `Run`.
        coroutine: whether it is called on the event loop, else on a worker thread.
        ttl_ns: how long its lease lasts without a renewal.
        timeout_ns: a longer run is asked to stop; None: no limit.
        grace_ns: how late it may still start.
        renew: whether its lease is renewed while it runs.
        rerun: whether it runs again after its claimant died.
        runs_unclaimed: whether it runs without a claim while the store is out.
        releases: whether it gives its lock up at its timeout, though its code may still run.
        prefer: the instances whose claims go before those of others; None: all are equal.
        shares_resource: whether others may take the same lock: a resource was named.
        declaration: what tells it from another declaration of the same job, see identity.py.
    """

    name: str
    function: Callable[..., Any]
    wants_run: bool
    coroutine: bool
    trigger: Trigger
    resource: str
    ttl_ns: int
    timeout_ns: int | None
    grace_ns: int | None
    renew: bool
    rerun: bool
    runs_unclaimed: bool
    releases: bool
    prefer: Preference | None
    shares_resource: bool
    declaration: str

    def call(self, run: Run) -> Any:  # noqa: ANN401 - whatever a job's function returns
        """Call the function; a coroutine that it returns has not begun to run."""
        return self.function(*((run,) if self.wants_run else ()))

    def check_result(self, returned: object) -> None:
        """Refuse a returned generator: its body has not run.

        Raises:
            ConfigError: it returned a generator, as a wrapper around a function that yields does.
        """
        if isinstance(returned, Generator | AsyncGenerator):
            raise ConfigError(
                f"job {self.name} returned a generator, of which nothing has run: {_KINDS}", instead=("return", "await")
            )

    def grace_at(self, due_ns: int | None, next_due_ns: int | None) -> int:
        """Return how late the occurrence due then may start, in nanoseconds.

        Default: the interval to the next one, at most 60 s; 60 s if none comes.
        """
        return grace_for_ns(self.grace_ns, due_ns, next_due_ns)


class Callee(NamedTuple):
    """How a function is called.

    Args:
        wants_run: whether it takes the `Run`.
        coroutine: whether it is called on the event loop, else on a worker thread.
        target: its module and name, see `target_of`.
    """

    wants_run: bool
    coroutine: bool
    target: str


def callee_of(function: Callable[..., Any], job_name: str) -> Callee:
    """Return how a function is called.

    Raises:
        ConfigError: it cannot be a job; the error names the job.
    """
    wants_run = _wants_run(function, job_name)
    return Callee(wants_run, any(map(inspect.iscoroutinefunction, _called(function))), target_of(function))


class Callees:
    """Reads each function once, though many jobs have it; remembers the latest ones."""

    def __init__(self) -> None:
        # By identity, because callables may bring a comparison of their own. Held, so that no other gets the identity.
        self._known: dict[int, tuple[Callable[..., Any], Callee]] = {}

    def of(self, function: Callable[..., Any], job_name: str) -> Callee:
        """Do what `callee_of` does."""
        known = self._known.get(id(function))
        if known is not None:
            return known[1]
        callee = callee_of(function, job_name)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[id(function)] = function, callee
        return callee


def declare(  # noqa: PLR0913 - choices, by name, and nearly all have a default
    function: Callable[..., Any],
    trigger: Trigger,
    *,
    service: str,
    read: Callable[[Callable[..., Any], str], Callee] = callee_of,
    name: str | None = None,
    resource: str | None = None,
    ttl: Duration = TTL_DEFAULT,
    timeout: Duration | None = None,
    misfire_grace: Duration | None = None,
    renew: bool = True,
    rerun_orphaned: bool = True,
    on_outage: OnOutage = "skip",
    on_timeout: OnTimeout = "hold",
    prefer: str | Preference | None = None,
) -> Job:
    """Check a declaration and return the job.

    Args:
        function: a function or coroutine function of one parameter (the run) or none; a coroutine that it returns runs.
        trigger: `cron(...)`, `every(...)`, `at(...)` or a `Trigger` of your own.
        service: what the job belongs to; `name` is unique in it, and by default the function's name.
        read: looks at the function; given the job's name.
        resource: what its lock protects, shared with all that name it, in any service; default: its own, see `JobId`.
        ttl: how long the lease lasts if this process dies.
        timeout: a longer run is asked to stop; see `on_timeout`.
        misfire_grace: how late it may start; default: one interval, at most 60 s.
        renew: False: the lease is taken once, for longest run + 5 s.
        rerun_orphaned: whether another instance runs it again if this one dies.
        on_outage: while the store does not answer: "skip", or "run" without claim, lease and fence, perhaps on several.
        on_timeout: "hold" the lock until the code returns, or "release" it at the timeout: others may start then.
        prefer: labels of the instances that should run it, "region=a" or "region=a, region=b": while a preferred one
            is alive, others wait longer, 200 ms (those named next) or 800 ms; `preference(..., near=, far=)` sets both.

    Raises:
        ConfigError: naming what is wrong; nothing was registered.
    """
    job_name = checked_name(getattr(function, "__name__", "") if name is None else name, "job name")
    ttl_ns, timeout_ns, grace_ns = _checked_times(ttl, timeout, misfire_grace, renew=checked_flag(renew, "renew"))
    _check_choices(on_outage, on_timeout, timeout_ns)
    callee = read(function, job_name)
    return Job(
        name=job_name,
        function=function,
        wants_run=callee.wants_run,
        coroutine=callee.coroutine,
        trigger=checked_trigger(trigger).bind(job_name),
        resource=str(JobId(service, job_name)) if resource is None else checked_name(resource, "resource"),
        ttl_ns=ttl_ns,
        timeout_ns=timeout_ns,
        grace_ns=grace_ns,
        renew=renew,
        rerun=checked_flag(rerun_orphaned, "rerun_orphaned"),
        runs_unclaimed=on_outage == "run",
        releases=on_timeout == "release",
        prefer=checked_preference(prefer),
        shares_resource=resource is not None,
        declaration=declaration_of(str(trigger), callee.target),
    )


def check_policies(names: Iterable[str]) -> None:
    """Refuse names that are not policies of a job.

    Raises:
        ConfigError: it names the policy that was meant, or all of them.
    """
    known = Policies.__annotations__
    for name in names:
        if name not in known:
            meant = nearest(name, known, most=1) or known
            raise ConfigError("a job has no such policy", given=f"{name}=", instead=tuple(f"{word}=" for word in meant))


def checked_trigger(trigger: object) -> Trigger:
    """Return the trigger.

    Raises:
        ConfigError: it is not a trigger; it is a function where the decorator was not called.
    """
    if isinstance(trigger, Trigger):
        return trigger
    raise ConfigError(
        f"a job needs a trigger, not {type(trigger).__name__}",
        given=repr(trigger),
        instead=('@scheduler.job(every("1m"))',) if callable(trigger) else ('every("100ms")', 'cron("0 2 * * *")'),
    )


def checked_name(name: object, what: str) -> str:
    """Return a name that can be a metric label and a key in a store.

    Raises:
        ConfigError: saying what about the name is wrong.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a {what} is text, not {type(name).__name__}", given=repr(name))
    if not name or name == "<lambda>":
        raise ConfigError(f"a {what} is needed", given=repr(name), instead=('name="inventory_sync"',))
    if len(name) > NAME_MAX:
        raise ConfigError(f"a {what} has at most {NAME_MAX} characters, this one {len(name)}", given=name)
    if not name.isprintable() or name != name.strip():
        raise ConfigError(f"a {what} has no control characters and no blanks at its ends", given=repr(name))
    if name.startswith("__"):
        raise ConfigError(f"a {what} does not begin with two underscores: they mark overflow in metrics", given=name)
    return name


def checked_flag(value: object, what: str) -> bool:
    """Return the flag.

    Raises:
        ConfigError: it is neither True nor False; "no" would count as True.
    """
    if not isinstance(value, bool):
        raise ConfigError(
            f"{what} is True or False, not {type(value).__name__}",
            given=f"{what}={value!r}",
            instead=(f"{what}=True", f"{what}=False"),
        )
    return value


def _check_choices(on_outage: str, on_timeout: str, timeout_ns: int | None) -> None:
    if on_outage not in get_args(OnOutage):
        raise ConfigError("on_outage is one of two words", given=repr(on_outage), instead=('"skip"', '"run"'))
    if on_timeout not in get_args(OnTimeout):
        raise ConfigError("on_timeout is one of two words", given=repr(on_timeout), instead=('"hold"', '"release"'))
    if on_timeout == "release" and timeout_ns is None:
        raise ConfigError(
            "a lock that is given up at the timeout needs a timeout",
            given='on_timeout="release"',
            instead=('timeout="25s"',),
        )


def _checked_times(
    ttl: Duration, timeout: Duration | None, misfire_grace: Duration | None, *, renew: bool
) -> tuple[int, int | None, int | None]:
    ttl_ns = duration_ns(ttl, what="ttl", min_ns=TTL_MIN_NS)
    timeout_ns = None if timeout is None else duration_ns(timeout, what="timeout", min_ns=MS)
    grace_ns = None if misfire_grace is None else duration_ns(misfire_grace, what="misfire_grace", min_ns=MS)
    if grace_ns is not None and grace_ns > GRACE_MAX_NS:
        raise ConfigError(
            f"misfire_grace is at most {duration_text(GRACE_MAX_NS)}, half of what the ledger remembers",
            given=duration_text(grace_ns),
        )
    if renew:
        return ttl_ns, timeout_ns, grace_ns
    if timeout_ns is None:
        raise ConfigError(
            "a lease that is not renewed needs a timeout", given="renew=False", instead=('timeout="25s"',)
        )
    if ttl_ns < timeout_ns + UNRENEWED_SLACK_NS:
        raise ConfigError(
            "without renewal, ttl must be at least timeout + 5s, or the lease ends under a running job",
            given=f'ttl="{duration_text(ttl_ns)}", timeout="{duration_text(timeout_ns)}", renew=False',
            instead=(f'ttl="{duration_text(timeout_ns + UNRENEWED_SLACK_NS)}"', "renew=True"),
        )
    return ttl_ns, timeout_ns, grace_ns


def _wants_run(function: Callable[..., Any], name: str) -> bool:
    if not callable(function):
        raise ConfigError(f"job {name} is not callable", given=repr(function))
    if any(inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called) for called in _called(function)):
        raise ConfigError(f"job {name} yields: {_KINDS}", instead=("return", "await"))
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some builtins have no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1 or any(p.kind is p.KEYWORD_ONLY for p in required):
        raise ConfigError(
            f"job {name} is called with the run alone",
            given=f"def {name}({', '.join(str(p) for p in parameters)})",
            instead=(f"def {name}(run)", f"def {name}()"),
        )
    return bool(positional) or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _called(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what may be written with `async` or `yield`: the function, or its method if it is an object."""
    return function, type(function).__call__
