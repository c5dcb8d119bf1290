"""Draw pictures of the boards: a real fleet, a real Prometheus, Grafana's own components in a browser.

`make pictures` runs the fleet of tests/boards; `ARGS="--prometheus URL --scrape-s 15 --range-s 3600"` reads a
Prometheus that runs already. `ARGS=--redraw` draws what was gathered the last time. Needs Node and Chromium; every
board goes whole into build/pictures/, those of the documentation into docs/images/.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from boards.fleet import Fleet
from boards.reading import ROOT, UIDS, generated, interpolated, panels
from kit.browser import Tab, running_browser
from kit.servers import RedisServer, running_prometheus

from tickglass.sched.clock import SystemClock, Wake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE: Final = Path(__file__).parent
WORK: Final = ROOT / "build" / "pictures"
IMAGES: Final = ROOT / "docs" / "images"
IN_DOCS: Final = {"tickglass-overview": 4, "tickglass-locks": 2, "tickglass-jobs": 2}  # how many rows of each
RANGE_S: Final = 300
SCRAPE_S: Final = 2
WIDTH: Final = 1440
POINTS: Final = 600  # about one a pixel of a panel of half the width
MARKS_APART_S: Final = 5  # an annotation lasts for as long as its expression has a value; its beginning is shown
SPREAD: Final = 2  # exemplars within so many standard deviations of the one above are left out, as Grafana does
PATIENCE_S: Final = 30.0
PAGE: Final = (
    '<!doctype html><meta charset="utf-8"><title>Tickglass</title><link rel="stylesheet" href="board.css">'
    '<body><script src="gathered.js"></script><script src="board.js"></script>'
)
_CLOCK: Final = SystemClock()


# --- a fleet ------------------------------------------------------------------


def main() -> None:
    """Gather, then draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", metavar="URL")
    parser.add_argument("--scrape-s", type=float, default=SCRAPE_S)
    parser.add_argument("--range-s", type=float, default=RANGE_S)
    parser.add_argument("--redraw", action="store_true")
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if not given.redraw:
        if given.prometheus:
            found = Gathering(given.prometheus, given.scrape_s, given.range_s).boards()
        else:
            found = _of_a_fleet(given.scrape_s, given.range_s)
        (WORK / "gathered.js").write_text(f"window.BOARDS = {json.dumps(found)};\n", encoding="utf-8")
    bundle = ["npm", "run", "--silent", "bundle", "--", f"--outfile={WORK / 'board.js'}"]
    subprocess.run(bundle, cwd=HERE, check=True)  # noqa: S603 - all of it stands here
    (WORK / "page.html").write_text(PAGE, encoding="utf-8")
    _draw()


def _of_a_fleet(scrape_s: float, range_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        homes = {name: Path(folder) / name for name in ("redis", "fleet", "prometheus")}
        for home in homes.values():
            home.mkdir()
        redis = RedisServer(homes["redis"])
        running.callback(redis.end)
        redis.start()
        fleet = Fleet(homes["fleet"], redis, running)
        server = running.enter_context(running_prometheus(homes["prometheus"], _config(fleet, scrape_s)))
        _wait(range_s / 2)
        fleet.everything_happens()
        _wait(range_s / 2)
        return Gathering(server.url, scrape_s, range_s).boards()


def _config(fleet: Fleet, scrape_s: float) -> str:
    every = f"{scrape_s:g}s"
    named = (f"{{targets: ['127.0.0.1:{m.port}'], labels: {{instance: 'host-{m.owner}'}}}}" for m in fleet.members)
    return (
        f"global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\n"
        f"rule_files: ['{ROOT}/alerts/generated/tickglass-rules.yml']\n"
        f"scrape_configs:\n- {{job_name: tickglass, honor_labels: true, static_configs: [{', '.join(named)}]}}\n"
    )


def _wait(seconds: float) -> None:
    _CLOCK.wait(_CLOCK.monotonic_ns() + int(seconds * 1e9), Wake())


# --- what Prometheus says -----------------------------------------------------


class Gathering:
    """Everything that the boards ask, asked as Grafana does with all of every variable."""

    def __init__(self, url: str, scrape_s: float, range_s: float) -> None:
        self._url, self._scrape_s = url.rstrip("/"), scrape_s
        self._end = _CLOCK.wall_ns() // 10**9
        self._start = self._end - range_s
        self._values: dict[str, str] = {"$__range": f"{range_s:g}s"}

    def boards(self) -> dict[str, Any]:
        """Return the boards' panels with their answers, by uid, and the marks on all of them."""
        boards = {uid: generated(uid) for uid in UIDS}
        self._pick(boards[UIDS[0]])
        return {
            "boards": {uid: self._board(board) for uid, board in boards.items()},
            "marks": list(self._annotations(boards[UIDS[0]])),
            "start": self._start,
            "end": self._end,
        }

    def _pick(self, board: Mapping[str, Any]) -> None:
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                if match is None:
                    raise ValueError(variable["query"]["query"])
                selector = interpolated(match[1], self._values)
                values = self._get(f"label/{match[2]}/values", start=self._start, **{"match[]": selector})
                several = "|".join(re.escape(value).replace("\\", r"\\") for value in values)
                self._values[f"${variable['name']}"] = variable.get("allValue") or f"({several})"

    def _board(self, board: Mapping[str, Any]) -> dict[str, Any]:
        rows = [{"panel": panel, "answers": []} for panel in board["panels"] if panel["type"] == "row"]
        drawn = [{"panel": each, "answers": [self._answer(each, t) for t in each["targets"]]} for each in panels(board)]
        return {"title": board["title"], "panels": rows + drawn}

    def _answer(self, panel: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
        points = panel.get("maxDataPoints") or POINTS
        step = max(self._scrape_s, (self._end - self._start) // points)
        expr = self._expr(target["expr"], step)
        if target["instant"]:
            result = self._get("query", query=expr, time=self._end)["result"]
        else:
            result = self._range(expr, step)
        exemplars = list(self._exemplars(expr, step)) if target["exemplar"] else []
        return {"target": target, "step": step, "result": result, "exemplars": exemplars}

    def _expr(self, expr: str, step: float) -> str:
        intervals = {
            "$__rate_interval": f"{max(step + self._scrape_s, 4 * self._scrape_s):g}s",
            "$__interval": f"{step:g}s",
        }
        return interpolated(expr, self._values | intervals)

    def _range(self, expr: str, step: float) -> list[dict[str, Any]]:
        start, end = (edge // step * step for edge in (self._start, self._end))
        found: list[dict[str, Any]] = self._get("query_range", query=expr, start=start, end=end, step=step)["result"]
        return found

    def _exemplars(self, expr: str, step: float) -> Iterator[dict[str, float]]:
        found = self._get("query_exemplars", query=expr, start=self._start, end=self._end)
        dots = [(each["timestamp"], float(each["value"])) for one in found for each in one["exemplars"]]
        apart = SPREAD * statistics.pstdev([value for _, value in dots]) if dots else 0
        last: tuple[float, float] | None = None
        for place, value, time in sorted(((time // step, -value, time) for time, value in dots)):
            if last is None or last[0] != place or -value < last[1] - apart:
                last = place, -value
                yield {"time": time, "value": -value}

    def _annotations(self, board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for annotation in board["annotations"]["list"]:
            for series in self._range(self._expr(annotation["target"]["expr"], self._scrape_s), self._scrape_s):
                before = 0.0
                for time, _ in series["values"]:
                    if time - before > MARKS_APART_S:
                        yield {"time": time, "colour": annotation["iconColor"]}
                    before = time

    def _get(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - an address that was given
            return json.load(answer)["data"]


# --- pictures -----------------------------------------------------------------


def _draw() -> None:
    with tempfile.TemporaryDirectory() as profile, running_browser(Path(profile)) as browser:
        for uid in UIDS:
            name = uid.removeprefix("tickglass-")
            _picture(browser, uid, WORK / f"board-{name}.png")
            if uid in IN_DOCS:
                _picture(browser, f"{uid},{IN_DOCS[uid]}", IMAGES / f"board-{name}.png")


def _picture(browser: Any, shown: str, path: Path) -> None:  # noqa: ANN401 - tests have no types outside tests
    with Tab(browser, width=WIDTH, dark=True) as tab:
        tab.open(f"{(WORK / 'page.html').as_uri()}#{shown}")
        tab.until("document.body.dataset.drawn")
        tab.resize(WIDTH, int(tab.evaluate("Math.ceil(document.querySelector('main').getBoundingClientRect().height)")))
        tab.picture(path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")  # noqa: T201
        wrong = [said for said in tab.complaints if "exceptionDetails" in said]  # icons are missed, and not needed
        if wrong:
            raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
