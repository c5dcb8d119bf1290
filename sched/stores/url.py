"""Take a store's URL apart, or say what is wrong with it.

Pure. The `url` module of each store reads its options; registry.py lists the stores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tickglass.sched.durations import duration_ns
from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.stores.redaction import RedactedText

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StoreUrl", "UrlForm", "parse_url"]


class UrlForm(NamedTuple):
    """How the URLs of one scheme look.

    Args:
        example: a right one.
        options: the names that may follow the "?".
        before_path: what makes a URL of a path that was given alone; "" if such a store is not a file.
    """

    example: str
    options: tuple[str, ...]
    before_path: str = ""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A URL in parts; it remembers where each part stood, so that errors can point at it.

    Args:
        given: the URL as written; never shown.
        redacted: the URL as it may be shown: three stars stand for a password of any length.
        body: what stands between "://" and "?", as written.
        options: name -> value, as written after the "?".
    """

    given: str = field(repr=False)
    redacted: RedactedText = field(repr=False)
    scheme: str
    body: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    @property
    def text(self) -> str:
        """The URL as it may be shown."""
        return self.redacted.text

    @property
    def shown_body(self) -> str:
        """The body as it may be shown."""
        start = len(self.scheme) + len("://")
        return self.text[slice(*self.redacted.span(start, start + len(self.body)))]

    def refusal(self, problem: str, part: str, *instead: str) -> ConfigError:
        """Return the error that points at the last place where `part` stands."""
        start = self.given.rfind(part)
        span = self.redacted.span(start, start + len(part)) if part and start >= 0 else None
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
                near = nearest(name, known, most=1)
                raise self.refusal(problem, f"{name}={value}", *(f"{right}=" for right in near))

    @staticmethod
    def _spelled(option: str, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"?{option}={value}" for value in values)


def parse_url(given: object, forms: Mapping[str, UrlForm]) -> StoreUrl:
    """Take a URL apart.

    Args:
        forms: by scheme.

    Raises:
        ConfigError: it is no URL of one of these forms; whether its options and its body are right is not checked.
    """
    examples = tuple(form.example for form in forms.values())
    if not isinstance(given, str):
        problem = f"a store URL is text, not {type(given).__name__}"
        raise ConfigError(problem, given=_redacted(repr(given), forms).text, instead=examples)
    redacted = _redacted(given, forms)
    text = redacted.text
    if given != given.strip() or not given:
        raise ConfigError("a store URL is not empty and has no blanks around it", given=repr(text), instead=examples)
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise _no_scheme(text, forms)
    if scheme not in forms:
        near = nearest(scheme, forms, most=1)
        raise ConfigError(
            f"there is no store {scheme!r}; there are {', '.join(forms)}",
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
    return StoreUrl(given, redacted, scheme, body, _options(query, given, redacted))


def _redacted(given: str, forms: Mapping[str, UrlForm]) -> RedactedText:
    return RedactedText(given, lambda scheme: forms[scheme].options if scheme in forms else None)


def _no_scheme(text: str, forms: Mapping[str, UrlForm]) -> ConfigError:
    scheme, colon, rest = text.partition(":")
    if colon and scheme in forms:
        form = forms[scheme]
        right = f"{form.before_path}{rest}" if form.before_path and rest.strip("/") else form.example
        span = (len(scheme), len(text) - len(rest.lstrip("/")))
        return ConfigError('"://" must follow the name of the store', given=text, span=span, instead=(right,))
    if text in forms:
        return ConfigError('"://" must follow the name of the store', given=text, instead=(forms[text].example,))
    as_path = [f"{form.before_path}{text}" for form in forms.values() if form.before_path]
    examples = (form.example for form in forms.values())
    problem = 'a store URL begins with the name of a store and "://"'
    return ConfigError(problem, given=text, instead=(*as_path, *examples))


def _options(query: str, given: str, redacted: RedactedText) -> Mapping[str, str]:
    options: dict[str, str] = {}
    start = len(given) - len(query)
    for part in query.split("&") if query else ():
        span = redacted.span(start, start + len(part))
        start += len(part) + 1
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            problem = "an option is a name, = and a value"
            raise ConfigError(problem, given=redacted.text, span=span, instead=("?keep=24h",))
        if name in options:
            raise ConfigError("an option is given twice", given=redacted.text, span=span)
        options[name] = value
    return options
