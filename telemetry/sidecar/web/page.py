"""Render a view as HTML: whole pages, and the regions of them that are sent again when they change.

Every name comes from outside; the templates escape all of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import SECOND, duration_text, span_text
from tickglass.sched.errors import nearest
from tickglass.telemetry.sidecar.explain import problems, standing, tones
from tickglass.telemetry.sidecar.explain.why import clock_text
from tickglass.telemetry.sidecar.view import View
from tickglass.telemetry.sidecar.web import charts, selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.ports import RunRecord
    from tickglass.telemetry.sidecar.view import JobView
    from tickglass.telemetry.sidecar.web.selection import Subject

__all__ = ["ASSETS", "Asset", "Pages", "Visitor", "act_href", "brief", "history_href", "link", "run_href"]

NEAR_MAX: Final = 5  # jobs that an unknown name may mean; several services may have one of that name
_HERE: Final = Path(__file__).parent
_OVERVIEW: Final = ("state", "problems", "jobs", "timeline", "locks", "schedulers", "instances", "stores")
_JOB: Final = ("state", "problems", "job", "occurrences")


class Asset:
    """A static file, under an address that changes with its content."""

    def __init__(self, name: str, content_type: str) -> None:
        self.name = name
        self.content_type = content_type
        self.body = (_HERE / "static" / name).read_bytes()
        self.version = hashlib.sha256(self.body).hexdigest()[:12]
        self.href = f"/static/{name}?{urlencode({'v': self.version})}"


ASSETS: Final[Mapping[str, Asset]] = {
    asset.name: asset
    for asset in (
        Asset("page.css", "text/css; charset=utf-8"),
        Asset("page.js", "text/javascript; charset=utf-8"),
        Asset("icon.svg", "image/svg+xml"),
    )
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Args:
        may_act: it is an operator.
        name: as a proxy says; "" if it is not known.
        can_sign_in: a viewer can become an operator by the form that asks for a token.
        sees_log: there are stores, and so a log of what was done.
    """

    may_act: bool = False
    name: str = ""
    can_sign_in: bool = False
    sees_log: bool = False


class Pages:
    """The templates; thread-safe."""

    def __init__(self) -> None:
        env = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        env.filters.update(span=span_text, duration=duration_text, clock=clock_text, ago=_ago)
        env.filters.update(second=_second, minute=_minute, iso=_iso)
        env.filters["brief"] = brief
        env.globals.update({name: getattr(module, name) for module in _MODULES for name in module.__all__})
        env.globals.update(assets=ASSETS, key_of=_key_of, percentile=_percentile)
        env.globals.update(link=link, act_href=act_href, history_href=history_href, run_href=run_href)
        self._env = env

    def regions(self, view: View, subject: Subject) -> dict[str, str]:
        """Return the regions of a page by the ids of their elements."""
        context = self._context(view, subject)
        return {name: self._render(f"{name}.html", context) for name in (_OVERVIEW if subject.job is None else _JOB)}

    def whole(self, view: View, subject: Subject, visitor: Visitor = Visitor()) -> str:
        """Return a page."""
        parts = self.regions(view, subject)
        page = "overview.html" if subject.job is None else "job_page.html"
        context = {"parts": parts, "events": link(subject, "/events"), "visitor": visitor}
        return self._render(page, {**self._context(view, subject), **context})

    def act(self, visitor: Visitor, **context: object) -> str:
        """Return the form of an act; `forms/` says what is in it."""
        return self._render("act.html", {"visitor": visitor, **context})

    def audit(self, visitor: Visitor, **context: object) -> str:
        """Return the page of what stands and of what was done; `forms/` says what is in it."""
        return self._render("audit.html", {"visitor": visitor, **context})

    def sign_in(self, back: str, *, wrong: bool, acting: bool = False) -> str:
        """Return the form that asks for the token.

        Args:
            back: where to go afterwards, a path of this site.
            wrong: whether a wrong token was given.
            acting: whether a person who may look already asks for more.
        """
        return self._render("sign_in.html", {"back": back, "wrong": wrong, "acting": acting})

    def message(self, title: str, text: str) -> str:
        """Return a page with a message."""
        return self._render("message.html", {"title": title, "text": text})

    def history(self, visitor: Visitor, **context: object) -> str:
        """Return a page of a job's runs; `history/` says what is in it."""
        return self._render("history.html", {"visitor": visitor, **context})

    def run(self, visitor: Visitor, **context: object) -> str:
        """Return the page of one run; `history/` says what is in it."""
        return self._render("run.html", {"visitor": visitor, **context})

    def _render(self, name: str, context: Mapping[str, Any]) -> str:
        return self._env.get_template(name).render(context)

    def _context(self, view: View, subject: Subject) -> dict[str, Any]:
        context: dict[str, Any] = {"view": view, "now": view.at_wall_ns, "subject": subject}
        context["job_label"] = problems.job_names(view.jobs)
        if subject.job is not None:
            context["mine"] = mine = [job for job in view.jobs if subject.has(job)]
            meant = () if mine else nearest(subject.job, {job.name for job in view.jobs})
            context["near"] = [job for job in view.jobs if job.name in meant][:NEAR_MAX]
            resources = {job.resource for job in mine}
            locks = [lock for lock in view.locks if lock.resource in resources]
            view = View(at_wall_ns=view.at_wall_ns, jobs=mine, locks=locks)
        found = problems.problems(view)
        return {**context, "found": found, "headline": problems.headline(found)}


_MODULES: Final = (selection, charts, tones, problems, standing)


def link(subject: Subject, base: str = "") -> str:
    """Return the address of a page, or of its events."""
    if subject.job is not None:
        if not base:
            return problems.job_href(subject.job, subject.service or "")
        whose = {} if subject.service is None else {"service": subject.service}
        return f"{base}?{urlencode({'job': subject.job, **whose})}"
    asked = {"q": subject.search, "only": subject.only, "page": "" if subject.page == 1 else str(subject.page)}
    query = urlencode({name: value for name, value in asked.items() if value})
    return (base or "/") + (f"?{query}" if query else "")


def act_href(act: str, **about: object) -> str:
    """Return the address of the form of an act."""
    given = {name: value for name, value in about.items() if value not in (None, "")}
    return f"/act/{act}?{urlencode(given)}"


def history_href(job: str, service: str, store: str = "", before_ns: int | None = None) -> str:
    """Return the address of a page of a job's runs."""
    asked = {"job": job, "service": service, "store": store, "before": before_ns}
    return f"/history?{urlencode({name: value for name, value in asked.items() if value not in (None, '')})}"


def run_href(run: RunRecord, store: str) -> str:
    """Return the address of the page of one run."""
    asked = {"job": run.job, "service": run.service, "due": run.due_ns, "run_id": run.run_id, "store": store}
    return f"/run?{urlencode(asked)}"


def _key_of(job: JobView) -> str:
    """Return an id for a job's row, which stays the same when rows change places."""
    return quote(f"job-{job.service}/{job.name}", safe="/")


def _second(wall_ns: int) -> str:
    return instant_of(wall_ns).strftime("%H:%M:%S UTC")


def _minute(wall_ns: int) -> str:
    return instant_of(wall_ns).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(wall_ns: int) -> str:
    return instant_of(wall_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def brief(span_ns: int) -> str:
    """Return a duration for a value that changes every second: no finer than a person can read in that time."""
    if span_ns >= 60 * SECOND:
        return span_text(span_ns)
    return f"{span_ns // SECOND} s" if span_ns >= 10 * SECOND else f"{span_ns / SECOND:.1f} s"


def _ago(wall_ns: int, now_ns: int) -> str:
    return f"in {brief(wall_ns - now_ns)}" if wall_ns > now_ns else f"{brief(now_ns - wall_ns)} ago"


def _percentile(values: list[int], percent: int) -> int:
    return sorted(values)[(len(values) - 1) * percent // 100]
