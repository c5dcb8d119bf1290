"""Cases of alerts, in short: spelled out for `promtool test rules`, and tried on the rules or on mutants of them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

import yaml
from kit.servers import find_server

from tickglass.alerts import Links, RuleScope, alerts, groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickglass.alerts import Alert

CASES: Final = Path(__file__).parents[1] / "alerts" / "cases"
SCOPE: Final = RuleScope()
LINKS: Final = Links("https://wiki.example.com/runbooks", "https://grafana.example.com")

# Mutants that are the same rule in other words: of which alerts, which, and why.
SAME: Final = (
    (
        r".*(StuckBlocking|StoreErrors|LeftOut|Stalled|Pool.*|NotDraining|Blind|MissedRun|Ended|NotReady|Down|Gone)",
        r"(by \(.*\) at \d+ behind a condition became by \(.*, pod\)|the aggregation at \d+ behind .* went missing)",
        "a condition only asks whether any is so",
    ),
    (
        r"DistributedLockStoreErrors",
        r"(sum by .* behind a condition became '(max|min)'|(rate|increase) .* behind a condition .*)",
        "of what is never negative, above zero",
    ),
    (
        r"DistributedLock(StuckBlocking|RenewalsStalled)",
        r"sum .* behind a condition became 'max'",
        "it only asks whether there are any",
    ),
    (
        r"TickglassJobLeftOut",
        r"(sum|max) .* behind a condition became '(max|sum)'",
        "it only asks whether there are any",
    ),
    (
        r"TickglassJobNotSucceeding",
        r"(max .* at 1481 .* became 'sum'|by .* at 1481 .* became by .*, pod|the aggregation at 1481 .*)",
        "it only asks whether there are any",
    ),
    (
        r"TickglassJobNotSucceeding",
        r"max .*at 1339 behind a condition .*",
        "nought times anything is nought",
    ),
    (
        r"(?!TickglassSpoolNotDraining).*",
        r"(max|sum) by \(cluster, namespace, (service, owner|job, instance).* became '(max|min|sum)'",
        "a scheduler has one such series",
    ),
    (r"TickglassSpoolNotDraining", r"max by .* became '(min|sum)'", "a scheduler has one such series"),
    (r"TickglassSpoolNotDraining", r"sum by .* became 'max'", "it only asks whether there are any"),
    (r".*(Down|Gone|Stalled|Ended)", r"group by .* became 'sum'", "it only asks whether there is one"),
    (
        r"TickglassPool(Saturated|DelaysJobs)",
        r"(by \(|the aggregation at).*",
        "a ratio has only the labels that it is matched on",
    ),
    (
        r".*(Stalled|High|NotDraining|LeftOut|Blind)",
        r"(rate|increase) .*",
        "of zero, or of a quantile, both are the same",
    ),
    (r".*(Burn.*|High|StoreErrors)", r"> .* became >=", "a measured share does not stand still at the threshold"),
    (r".*(Burn|FailsOften).*", r".*fleet.*", "the other window's, and the label that comes with it, still hold"),
    (r".*Burn.*", r"by .* behind a condition became by .*, pod", "it only guards against few due instants"),
    (r".*Burn.*", r"(every .*|\{outcome!=.* went missing|increase at .*)", "it only guards against few due instants"),
    (r"TickglassJobNotSucceeding", r"\{fleet=.* at \d{3} went missing", "what stands for nothing only has to be there"),
    (r"TickglassJobNotSucceeding", r"every \[1h\].*", "TickglassJobFailing has the same words, and cases for them"),
    (r"TickglassJobLeftOut", r"\{outcome=~.* at .* went missing", "what was not left out excuses it anyway"),
    (r"TickglassServiceDown", r"max .* became 'sum'", "of zeros"),
    (r".*Down", r"max by .* became 'sum'", "of zeros, or of ones"),
    (r"DistributedLockStoreErrors", r"(>=|10) at 105\d became .*", "how many failed is an estimate"),
    (r"TickglassPoolDelaysJobs", r"(>= at|10 at|increase).*", "how many are late is an estimate, and it is many"),
    (
        r"TickglassJobMissedRun",
        r"(max|min) .* behind a condition became '(min|max|sum)'",
        "it only asks whether there is any",
    ),
    (r"Tickglass(JobTriggerEnded|JobFailsOften|NoTargets)", r"keep_firing_for came in", "its end is not prompt anyway"),
    (
        r"TickglassServiceDown",
        r"\{state=.*",
        "a scheduler has a series for each state, and it only asks whether there is one",
    ),
    (
        r"Tickglass(ServiceDown|TargetDown|JobMissedRun)",
        r"\{job=~.* went missing",
        "only targets of the same scrape job are compared",
    ),
    (r".*Stalled", r"by .* behind a condition became by", "it only asks whether any of the service ticks"),
    (
        r"TickglassJobMissedRun",
        r"(and on \(job, instance\) at 1140|\{owner=.* at 1108|,source=.* at 1117) .*",
        "what was due is asked twice, and the first says which jobs there are",
    ),
    (r"TickglassWatchdog", r"(1 at|keep_firing).*", "always is always"),
)

# What every series of a case is labelled with, unless it says otherwise.
TARGET: Final = {"cluster": "eu", "namespace": "prod", "service": "s"}
_LINKED: Final = ("service", "resource", "job_name")

Document = dict[str, Any]  # a rule, a file of rules, a file of tests: as YAML has it


@dataclass(frozen=True)
class Case:
    """Series, and when one alert fires on them."""

    alert: str
    claim: str
    every: str
    evaluated: str
    series: Mapping[str, str]
    silent: list[str]
    fires: Mapping[str, list[Document]]

    def test(self, rule: Alert) -> Document:
        """Return it as promtool reads it."""
        expected = {at: [self._alert(alert, rule, _seconds(at)) for alert in fired] for at, fired in self.fires.items()}
        return {
            "name": f"{self.alert} {self.claim}",
            "interval": self.every,
            "input_series": [{"series": _with_target(name), "values": values} for name, values in self.series.items()],
            "alert_rule_test": [
                {"eval_time": at, "alertname": self.alert, "exp_alerts": expected.get(at, [])}
                for at in sorted({*self.silent, *expected}, key=_seconds)
            ],
        }

    def _alert(self, alert: Document, rule: Alert, at_s: int) -> Document:
        kept = {name: text for name, text in TARGET.items() if name in rule.labels}
        labels = {**kept, **alert["labels"]}
        linked = [f"var-{name}={quote_plus(labels[name])}" for name in _LINKED if name in rule.labels]
        as_of_s = _seconds(alert["as_of"]) if "as_of" in alert else at_s  # when its condition was last true
        linked += [f"from={1000 * (as_of_s - 3 * 3600)}", "to=now"]
        return {
            "exp_labels": {"fleet": "tickglass", **labels},
            "exp_annotations": {
                "summary": rule.summary,
                "description": alert["says"],
                "runbook_url": f"https://wiki.example.com/runbooks/{self.alert}.md",
                "dashboard_url": f"https://grafana.example.com/d/{rule.board}?{'&'.join(linked)}",
            },
        }


def _with_target(series: str) -> str:
    """Add the labels that a series gets from its target, and `service`, which exporters add, unless it has one.

    No rule may let `pod` through, and none may lose the others.
    """
    kept = {name: text for name, text in TARGET.items() if name != "service"}
    if "service=" not in series and not series.startswith("up{"):
        kept["service"] = TARGET["service"]
    more = "".join(f',{name}="{text}"' for name, text in kept.items())
    return re.sub(r'instance="([^"]+)"', rf'instance="\1",pod="tickglass-\1"{more}', series)


def _seconds(duration: str) -> int:
    return sum(int(count) * {"h": 3600, "m": 60, "s": 1}[unit] for count, unit in re.findall(r"(\d+)([hms])", duration))


@cache
def cases() -> dict[str, list[Case]]:
    """Return all cases, by alert."""
    found: dict[str, list[Case]] = {}
    for file in sorted(CASES.glob("*.yml")):
        for alert, listed in yaml.safe_load(file.read_text()).items():
            found[alert] = [
                Case(
                    alert,
                    case["claim"],
                    case.get("every", "15s"),
                    case.get("evaluated", case.get("every", "15s")),
                    case["series"],
                    case["silent"],
                    case.get("fires", {}),
                )
                for case in listed
            ]
    return found


def tests_of(alert: str) -> list[Document]:
    """Return promtool's tests of one alert."""
    (rule,) = (rule for rule in alerts() if rule.name == alert)
    return [case.test(rule) | {"evaluated": case.evaluated} for case in cases()[alert]]


def rule_documents(scope: RuleScope = SCOPE) -> dict[str, Document]:
    """Return every rule as Prometheus reads it, by name."""
    documents = [rule for group in groups(scope) for rule in group.document(scope.fleet, LINKS)["rules"]]
    return {rule.get("alert") or rule["record"]: rule for rule in documents}


def records_of(alert: str) -> list[Document]:
    """Return the recording rules that an alert reads."""
    documents = rule_documents()
    records = {name: rule for name, rule in documents.items() if "record" in rule}
    wanted: list[Document] = []
    read = documents[alert]["expr"]
    for name, rule in reversed(records.items()):  # a record reads only those before it
        if name in read:
            wanted.insert(0, rule)
            read += rule["expr"]
    return wanted


def verdict(home: Path, trials: Iterable[tuple[list[Document], list[Document]]]) -> str:
    """Try sets of rules, each with its tests, in one process; return what promtool says if one fails, else ""."""
    files = []
    for number, (rules, tests) in enumerate(trials):
        files.append(home / f"trial-{number}.yml")
        (home / f"rules-{number}.yml").write_text(_dumped({"groups": [{"name": "tried", "rules": rules}]}))
        evaluated = tests[0].get("evaluated", tests[0]["interval"])
        bare = [{key: text for key, text in test.items() if key != "evaluated"} for test in tests]
        trial = {"rule_files": [f"rules-{number}.yml"], "evaluation_interval": evaluated, "tests": bare}
        files[-1].write_text(_dumped(trial))
    command = [find_server("promtool"), "test", "rules", *map(str, files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=home)
    assert done.stdout.count("Unit Testing:") == len(files), done.stdout
    assert (done.returncode == 0) == ("FAILED" not in done.stdout), done.stdout
    return done.stdout if done.returncode else ""


def same(alert: str, mutant: str) -> bool:
    """Return whether a mutant of an alert says the same in other words."""
    return any(re.fullmatch(which, alert) and re.match(what, mutant) for which, what, _ in SAME)


def survivors(home: Path, alert: str, spoiled: Mapping[str, Document]) -> list[str]:
    """Return the names of those mutants of an alert that its cases do not tell from the alert.

    All are tried at once, each under a name of its own and with the same expectations. One that cannot
    even be evaluated ends the trial: it is taken out, and the others are tried again.
    """
    left = {f"mutant_{number}": name for number, name in enumerate(spoiled)}
    noticed: set[str] = set()
    while left:
        rules = [*records_of(alert), *({**spoiled[name], "alert": mutant} for mutant, name in left.items())]
        trials = [(rules, [_expected_of(test, left)]) for test in tests_of(alert)]
        said = verdict(home, trials)
        broken = set(re.findall(r"rule: (mutant_\d+), .*err:", said))
        noticed |= broken | set(re.findall(r"alertname: (mutant_\d+),", said))
        if not broken:
            break
        left = {mutant: name for mutant, name in left.items() if mutant not in broken}
    return [name for mutant, name in left.items() if mutant not in noticed]


def _expected_of(test: Document, mutants: Iterable[str]) -> Document:
    checks = [{**check, "alertname": mutant} for check in test["alert_rule_test"] for mutant in mutants]
    return {**test, "alert_rule_test": checks}


def _dumped(document: Document) -> str:
    dumped: str = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), width=2**16)
    return dumped
