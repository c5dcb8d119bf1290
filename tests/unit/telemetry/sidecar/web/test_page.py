"""Pages are well-formed, whole, and let nothing from outside become part of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.view_samples import NOW_NS, ill, job_of, runs_of, twins, well

from tickglass.sched.durations import MS, SECOND
from tickglass.telemetry.sidecar.view import (
    InstanceView,
    JobView,
    LockMark,
    LockView,
    OccurrenceView,
    SchedulerView,
    StoreView,
    View,
)
from tickglass.telemetry.sidecar.web.page import ASSETS, Pages, brief, link
from tickglass.telemetry.sidecar.web.selection import Subject

PAGES: Final = Pages()
VOID: Final = {"meta", "link", "input", "br", "hr", "img"}
MAY_REFER: Final = {"href", "action", "src", "data-events"}
HOSTILE: Final = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "</title></style></svg><b>",
    "&lt;not-yet&gt; & so on",
    "a/b?c#d%2e/../..",
    "data: x\n\nevent: y",
    "Ünïcödé ☂ \u202e",
]


class Reader(HTMLParser):
    """Reads a page strictly: every element closed, in order; notes what it holds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def shape(page: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Return which elements and attributes a page is made of, and check where it refers to."""
    reader = Reader(page)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style", "the policy forbids it"
        if name in MAY_REFER:
            assert value.startswith(("/", "#")), (tag, name, value)
            assert not value.startswith("//"), (tag, name, value)
    return reader.tags, {(tag, name) for tag, name, _ in reader.attributes}


def full(name: str) -> View:
    """Return a view in which everything that comes from outside is called so, and everything is shown."""
    run = OccurrenceView(
        job=name, due_ns=NOW_NS - SECOND, outcome="failure", reason=name, why=f"failed: {name}", owner=name, by=name,
        run_id=name, fence=1, started_wall_ns=NOW_NS - SECOND, ended_wall_ns=NOW_NS, lateness_ns=MS, ran_ns=MS,
        error=name, attempt=2, count=2, others=(name,),
    )  # fmt: skip
    skipped = msgspec.structs.replace(run, due_ns=NOW_NS - 2 * SECOND, outcome="skipped", error=f"other {name}")
    job = JobView(
        name=name, service=name, trigger=name, resource=name, next_due_ns=NOW_NS + SECOND, running=2, timeout_ns=1,
        running_since_wall_ns=NOW_NS - SECOND, failures=3, recent=[run, skipped], lateness_ns=[MS], owners=[name],
        last_success_wall_ns=NOW_NS - SECOND, grace_ns=1,
    )  # fmt: skip
    lock = LockView(
        resource=name, state="held", owner=name, service=name, job=name, run_id=name, since_wall_ns=1, held_ns=9,
        allowed_ns=3, ttl_ns=9, remaining_ns=-4, fence=1, waiters=2, stuck=True, source=name,
    )  # fmt: skip
    return View(
        at_wall_ns=NOW_NS,
        schedulers=[
            SchedulerView(
                owner=name, service=name, version=name, state="gone", silent_ns=1, missed=2, gap_age_ns=1, pool_slots=2
            )
        ],
        stores=[StoreView(source=name, ok=False, error=name, age_ns=1, took_ns=1, skew_ns=9 * SECOND, skew_bound_ns=1)],
        jobs=[job],
        locks=[lock],
        runs=[run],
        marks=[LockMark(resource=name, job=name, at_wall_ns=NOW_NS - SECOND, what="lost", owner=name, other=name)],
        unready=[name],
    )


def bare() -> View:
    """Return a view of things of which nothing but the name is known."""
    return View(
        at_wall_ns=NOW_NS,
        schedulers=[SchedulerView(owner="o", service="")],
        stores=[StoreView(source="s", ok=True), StoreView(source="t", ok=False)],
        jobs=[JobView(name="plain", service="", trigger="", resource="plain")],
        locks=[LockView(resource=state, state=state) for state in ("plain", "free", "held", "expired")],
        runs=[OccurrenceView(job="plain", due_ns=NOW_NS), OccurrenceView(job="another", due_ns=NOW_NS)],
        marks=[LockMark(resource="r", job="", at_wall_ns=NOW_NS, what="lost")],
    )


@pytest.mark.parametrize("view", [well(), ill(), View(at_wall_ns=NOW_NS), full("plain"), bare()])
@pytest.mark.parametrize("subject", [Subject(), Subject("reconcile"), Subject("plain"), Subject(search="le", page=2)])
def test_pages_are_well_formed(view: View, subject: Subject) -> None:
    shape(PAGES.whole(view, subject))


@pytest.mark.parametrize("view", [ill(), twins()])
@pytest.mark.parametrize("subject", [Subject(), Subject("reconcile"), Subject("cleanup"), Subject("nobody")])
def test_ids_are_given_once_and_every_region_has_its_own(view: View, subject: Subject) -> None:
    reader = Reader(PAGES.whole(view, subject))
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert not [each for each in ids if re.search(r"\s", each)]
    for name, region in PAGES.regions(view, subject).items():
        assert name in ids
        assert ("id", name) == Reader(region).attributes[0][1:], "a region is one element, called as it is"


@given(name=st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=60)))
@settings(max_examples=60, deadline=None)
def test_no_name_becomes_part_of_a_page(name: str) -> None:
    for subject, plain in ((Subject(search=name), Subject(search="plain")), (Subject(name), Subject("plain"))):
        expected = shape(PAGES.whole(full("plain"), plain))
        page = PAGES.whole(full(name), subject)
        assert shape(page) == expected
        for region in PAGES.regions(full(name), subject).values():
            tags, attributes = shape(region)
            assert tags <= expected[0]
            assert attributes <= expected[1]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is(name: str) -> None:
    text = "".join(Reader(PAGES.whole(full(name), Subject(name))).text)
    assert name in text


@pytest.mark.parametrize("text", HOSTILE)
def test_forms_and_messages_escape_too(text: str) -> None:
    shape(PAGES.message(text, text))
    reader = Reader(PAGES.sign_in(text, wrong=True))
    assert ("input", "value", text) in reader.attributes


@pytest.mark.parametrize("job", ["reconcile", "close_books", "inventory_sync"])
def test_a_job_has_the_same_last_minutes_on_its_own_page(job: str) -> None:
    def words(subject: Subject) -> list[str]:
        labels = [value for _, name, value in Reader(PAGES.whole(ill(), subject)).attributes if name == "aria-label"]
        return [label for label in labels if label.startswith(f"{job}, last 5 minutes: ")]

    assert len(words(Subject())) == 1
    assert words(Subject(job)) == words(Subject())


def test_jobs_of_two_services_with_one_name_are_told_apart() -> None:
    reader = Reader(PAGES.whole(twins(), Subject()))
    text = " ".join("".join(reader.text).split())
    assert "Not well: job shipping/cleanup " in text
    assert "billing/cleanup on host-2" in text, "who holds the lock"
    assert "(job shipping/cleanup)" in text, "whose lock was lost"
    links = {value for tag, name, value in reader.attributes if (tag, name) == ("a", "href") and "/jobs/" in value}
    assert links == {"/jobs/cleanup?service=billing", "/jobs/cleanup?service=shipping"}


@pytest.mark.parametrize(
    ("service", "tables", "failures", "headline"),
    [("billing", 1, 0, "All well"), ("shipping", 1, 2, "Not well: job cleanup"), (None, 2, 2, "job shipping/cleanup")],
)
def test_a_jobs_page_is_about_one_service_or_says_which(
    service: str | None, tables: int, failures: int, headline: str
) -> None:
    page = PAGES.whole(twins(), Subject("cleanup", service=service))
    assert headline in page
    assert page.count("<table") == tables
    assert page.count("</svg>failure<") == failures
    assert ("<h3>shipping/cleanup</h3>" in page) == (service is None)


def test_a_person_in_a_hurry_reads_first_what_is_wrong() -> None:
    text = " ".join("".join(Reader(PAGES.whole(ill(), Subject())).text).split())
    assert text.index("Not well: lock ledger:eu") < text.index("Jobs") < text.index("Locks")
    assert "All well" in PAGES.whole(well(), Subject())


def test_a_jobs_page_says_why_each_occurrence_did_not_run() -> None:
    text = "".join(Reader(PAGES.whole(ill(), Subject("reconcile"))).text)
    assert text.count("(job close_books) held ledger:eu for all of its grace of 30s") == 4
    assert "its previous run was still running" in text
    assert "no instance took it up in time" in text


def test_outcomes_are_words_and_not_only_colours() -> None:
    page = PAGES.whole(ill(), Subject())
    assert re.search(r'class="chip bad">.*?</svg>failure<', page)
    assert re.search(r"latest 40 outcomes: 33 success, 5 skipped, 1 \w+, 1 \w+\"", page)


def test_a_page_loads_nothing_but_its_own_files() -> None:
    reader = Reader(PAGES.whole(well(), Subject()))
    loaded = {value for tag, name, value in reader.attributes if tag in ("script", "link") and name in ("src", "href")}
    assert loaded == {asset.href for asset in ASSETS.values()}
    for asset in ASSETS.values():
        text = asset.body.decode()
        assert not re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text), asset.name


@pytest.mark.parametrize(
    ("subject", "page", "events"),
    [
        (Subject(), "/", "/events"),
        (Subject(search="a b", page=2), "/?q=a+b&page=2", "/events?q=a+b&page=2"),
        (Subject("a/b?"), "/jobs/a%2Fb%3F", "/events?job=a%2Fb%3F"),
        (Subject("a", service="b&c"), "/jobs/a?service=b%26c", "/events?job=a&service=b%26c"),
        (Subject(""), "/jobs/", "/events?job="),
        (Subject("."), "/jobs/?name=.", "/events?job=."),
        (Subject("..", service="s"), "/jobs/?name=..&service=s", "/events?job=..&service=s"),
    ],
)
def test_addresses_are_quoted(subject: Subject, page: str, events: str) -> None:
    assert link(subject) == page
    assert link(subject, "/events") == events


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [(0, "0.0 s"), (448 * MS, "0.4 s"), (9_940 * MS, "9.9 s"), (14_440 * MS, "14 s"), (252 * SECOND, "4m12s")],
)
def test_what_changes_every_second_is_no_finer_than_can_be_read(span_ns: int, text: str) -> None:
    assert brief(span_ns) == text


def test_a_page_of_very_many_jobs_is_no_heavier() -> None:
    def weight(count: int) -> int:
        jobs = [job_of(f"job-{n:04}", "5s", runs_of(f"job-{n:04}", 5 * SECOND, ran_ns=MS)) for n in range(count)]
        return len(PAGES.whole(View(at_wall_ns=NOW_NS, jobs=jobs), Subject()))

    assert weight(600) < 1.05 * weight(60)


def test_instances_are_listed_with_state_version_and_whether_their_jobs_differ() -> None:
    one = InstanceView(
        source="redis://r",
        service="billing",
        owner="n1",
        incarnation="i1",
        state="running",
        version="1.2.3",
        silent_ns=5 * SECOND,
    )
    changes = {"owner": "n2", "incarnation": "i2", "state": "silent", "difference": "lacks <nightly>"}
    instances = [one, msgspec.structs.replace(one, version="", **changes)]
    html = PAGES.regions(View(at_wall_ns=NOW_NS, instances=instances), Subject())["instances"]
    assert "billing · 1.2.3" in html
    assert "lacks &lt;nightly&gt;" in html
    assert html.count("silent") == 1
    assert html.count("5.0 s ago") == 2


def test_a_view_without_instances_says_why() -> None:
    assert "No store knows an instance" in PAGES.regions(View(at_wall_ns=NOW_NS), Subject())["instances"]
