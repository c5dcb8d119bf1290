"""Find the store that a URL names, or say what is wrong with the URL.

A new store adds a row to `_SCHEMES` and the function in it; nothing else here changes.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import unquote

from tickglass.sched.durations import duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.etcd.urls import read_etcd
from tickglass.sched.stores.memory import MEMORY_KEEP_NS, MemoryStore
from tickglass.sched.stores.redaction import Starred
from tickglass.sched.stores.redis.urls import read_cluster, read_redis, read_redlock, read_sentinel, read_unix
from tickglass.sched.stores.retention import KEEP_MIN_NS, KEEP_NS
from tickglass.sched.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.sqlite.file import Synchronous

    Opener = Callable[[Clock], Store]

__all__ = ["StoreUrl", "check_url", "open_store", "redacted_url"]


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A URL taken apart; it remembers where its parts stood, so that errors can point at them.

    Args:
        given: the URL as written; never shown.
        starred: the URL for people to see: stars stand for a password in it, and not for how long it is.
        body: what stands between "://" and "?", as written.
        options: name -> value, as written after the "?".
    """

    given: str = field(repr=False)
    starred: Starred = field(repr=False)
    scheme: str
    body: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    @property
    def text(self) -> str:
        """The URL for people to see."""
        return self.starred.text

    @property
    def shown_body(self) -> str:
        """The body for people to see."""
        start = len(self.scheme) + len("://")
        return self.text[slice(*self.starred.span(start, start + len(self.body)))]

    def refusal(self, problem: str, part: str, *instead: str) -> ConfigError:
        """Return the error that points at the last place where `part` stands."""
        start = self.given.rfind(part)
        span = self.starred.span(start, start + len(part)) if part and start >= 0 else None
        return ConfigError(problem, given=self.text, span=span, instead=instead)

    def choice(self, option: str, *allowed: str) -> str:
        """Return an option's value; the first one allowed when it is not given."""
        value = self.options.get(option, allowed[0])
        if value not in allowed:
            raise self.refusal(f"{option} is not a known setting", f"{option}={value}", *self._spelled(option, allowed))
        return value

    def duration_ns(self, option: str, default_ns: int, *, min_ns: int) -> int:
        """Return an option's duration."""
        value = self.options.get(option)
        if value is None:
            return default_ns
        try:
            return duration_ns(value, what=option, min_ns=min_ns)
        except ConfigError as error:
            right = self._spelled(option, ("24h", "90m"))
            raise self.refusal(error.problem, f"{option}={value}", *right) from error

    def refuse_other_options(self, *known: str) -> None:
        """Raise unless every option is one of these."""
        for name, value in self.options.items():
            if name not in known:
                problem = f"{self.scheme}:// has no option {name!r}; it has {' and '.join(known)}"
                raise self.refusal(problem, f"{name}={value}")

    @staticmethod
    def _spelled(option: str, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"?{option}={value}" for value in values)


def check_url(url: str) -> None:
    """Refuse a wrong URL, and touch nothing: whether the place exists shows when it is opened.

    Raises:
        ConfigError: the URL is wrong.
    """
    _opener(url)


def open_store(url: str, clock: Clock) -> Store:
    """Open the store that a URL names.

    Args:
        url: `memory://`, `sqlite:///relative.db` or `sqlite:////absolute/path.db`,
            with options after a `?`: see docs/stores.md.
        clock: what leases expire by, where the store has no clock of its own.

    Raises:
        ConfigError: the URL, or the place that it names, is wrong.
        StoreUnavailable: the store is there, but does not answer.
    """
    return _opener(url)(clock)


def redacted_url(url: str) -> str:
    """Return the URL for people to see: three stars stand for any password in it.

    Raises:
        ConfigError: the URL is wrong.
    """
    return _parsed(url).text


def _opener(url: str) -> Opener:
    parsed = _parsed(url)
    scheme = _SCHEMES[parsed.scheme]
    parsed.refuse_other_options(*scheme.options)
    return scheme.read(parsed)


# --- taking it apart


def _parsed(given: object) -> StoreUrl:
    examples = tuple(scheme.example for scheme in _SCHEMES.values())
    if not isinstance(given, str):
        problem = f"a store URL is text, not {type(given).__name__}"
        raise ConfigError(problem, given=_redacted(repr(given)).text, instead=examples)
    starred = _redacted(given)
    text = starred.text
    if given != given.strip() or not given:
        raise ConfigError("a store URL is not empty and has no blanks around it", given=repr(text), instead=examples)
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise _no_scheme(text, examples)
    if scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme.lower(), _SCHEMES, n=1)
        raise ConfigError(
            f"there is no store {scheme!r}; there are {', '.join(_SCHEMES)}",
            given=text,
            span=(0, len(scheme)),
            instead=(near[0] + text[len(scheme) :],) if near else examples,
        )
    body, _, query = given[len(scheme) + len(separator) :].partition("?")
    if "@" in query:
        raise ConfigError(
            "no @ follows the ? of a store URL; in a user or a password write %3F for ?, in an option %40 for @",
            given=text,
        )
    return StoreUrl(given, starred, scheme, body, _options(query, given, starred))


def _redacted(given: str) -> Starred:
    return Starred(given, lambda name: _SCHEMES[name].options if name in _SCHEMES else ())


def _no_scheme(text: str, examples: tuple[str, ...]) -> ConfigError:
    scheme, colon, rest = text.partition(":")
    if colon and scheme in _SCHEMES:
        right = f"sqlite:///{rest}" if scheme == "sqlite" and rest.strip("/") else _SCHEMES[scheme].example
        span = (len(scheme), len(text) - len(rest.lstrip("/")))
        return ConfigError('"://" must follow the name of the store', given=text, span=span, instead=(right,))
    if text in _SCHEMES:
        return ConfigError('"://" must follow the name of the store', given=text, instead=(_SCHEMES[text].example,))
    return ConfigError(
        'a store URL begins with the name of a store and "://"', given=text, instead=(f"sqlite:///{text}", *examples)
    )


def _options(query: str, given: str, starred: Starred) -> Mapping[str, str]:
    options: dict[str, str] = {}
    start = len(given) - len(query)
    for part in query.split("&") if query else ():
        span = starred.span(start, start + len(part))
        start += len(part) + 1
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            problem = "an option is a name, = and a value"
            raise ConfigError(problem, given=starred.text, span=span, instead=("?keep=24h",))
        if name in options:
            raise ConfigError("an option is given twice", given=starred.text, span=span)
        options[name] = value
    return options


# --- one function per store: read all of the URL, then return what opens it


def _memory(url: StoreUrl) -> Opener:
    if url.body:
        problem = "memory:// has no path: nothing of it is kept"
        raise url.refusal(problem, url.body, "memory://", f"sqlite:///{url.shown_body}")
    keep_ns = url.duration_ns("keep", MEMORY_KEEP_NS, min_ns=KEEP_MIN_NS)
    return lambda clock: MemoryStore(clock, keep_ns=keep_ns)


def _sqlite(url: StoreUrl) -> Opener:
    synchronous = cast("Synchronous", url.choice("synchronous", "normal", "full"))
    keep_ns = url.duration_ns("keep", KEEP_NS, min_ns=KEEP_MIN_NS)
    path = _sqlite_path(url)

    def opener(clock: Clock) -> Store:
        try:
            return SqliteStore(path, clock, synchronous=synchronous, keep_ns=keep_ns)
        except ConfigError as error:
            raise url.refusal(error.problem, url.body.removeprefix("/")) from error

    return opener


def _sqlite_path(url: StoreUrl) -> Path:
    if url.body and not url.body.startswith("/"):
        raise url.refusal("a path follows sqlite:/// - with three slashes", url.body, f"sqlite:///{url.shown_body}")
    path = unquote(url.body.removeprefix("/"))
    if path == ":memory:":
        raise url.refusal("a database in memory is not shared with anybody", ":memory:", "memory://")
    if not path or path.endswith("/") or "\0" in path:
        right = ("sqlite:///jobs.db", "sqlite:////var/lib/jobs.db")
        raise url.refusal("sqlite:// needs the path of a file", url.body.removeprefix("/"), *right)
    return Path(path)


class _Scheme(NamedTuple):
    read: Callable[[StoreUrl], Opener]
    example: str
    options: tuple[str, ...]


_REDIS_OPTIONS: Final = ("prefix", "keep", "timeout")
_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "memory": _Scheme(_memory, "memory://", ("keep",)),
    "sqlite": _Scheme(_sqlite, "sqlite:///jobs.db", ("synchronous", "keep")),
    "etcd": _Scheme(read_etcd, "etcd://localhost:2379", ("prefix", "keep", "timeout")),
    "redis": _Scheme(read_redis, "redis://localhost:6379/0", _REDIS_OPTIONS),
    "rediss": _Scheme(read_redis, "rediss://localhost:6379/0", (*_REDIS_OPTIONS, "ca")),
    "unix": _Scheme(read_unix, "unix:///run/redis/redis.sock", (*_REDIS_OPTIONS, "db")),
    "redis+sentinel": _Scheme(read_sentinel, "redis+sentinel://h1:26379,h2:26379/mymaster/0", _REDIS_OPTIONS),
    "redis+cluster": _Scheme(read_cluster, "redis+cluster://h1:6379,h2:6379", _REDIS_OPTIONS),
    "redlock": _Scheme(read_redlock, "redlock://h1:6379,h2:6379,h3:6379/0", (*_REDIS_OPTIONS, "drift")),
}
