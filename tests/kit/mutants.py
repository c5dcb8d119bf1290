"""Change a rule in every small way that a typing error could: its tests must notice each."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["mutants"]

Document = dict[str, Any]

_LITERAL: Final = re.compile(
    r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\b(?:by|on) \([^)]*\)|[a-zA-Z_:][\w:]*'
)  # not a number, nor a comparison
_COMPARISON: Final = re.compile(r">=|<=|==|!=|>|<")
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_OTHER_COMPARISONS: Final = {
    ">": (">=", "<", "=="),
    ">=": (">", "<"),
    "<": ("<=", ">", "=="),
    "<=": ("<", ">"),
    "==": ("!=", ">", "<"),
}
_OTHER_WORDS: Final = {
    "max": ("min", "sum"),
    "min": ("max", "sum"),
    "sum": ("min", "max"),
    "group": ("sum",),
    "rate": ("increase",),
    "increase": ("rate",),
    "avg_over_time": ("min_over_time", "max_over_time"),
    "min_over_time": ("max_over_time", "avg_over_time"),
    "and": ("or", "unless"),
    "or": ("and",),
    "unless": ("and",),
    "abs": ("",),
    "absent": ("",),
    "time": ("0 * time",),
}


def mutants(rule: Document) -> Iterator[tuple[str, Document]]:
    """Yield every mutant with a description of the change."""
    for what, expr in _expressions(rule["expr"]):
        yield what, {**rule, "expr": expr}
    if "alert" in rule:
        yield from _surroundings(rule)


def _expressions(expr: str) -> Iterator[tuple[str, str]]:
    bare = _LITERAL.sub(lambda match: " " * len(match[0]), expr)
    for match in _COMPARISON.finditer(bare):
        for other in _OTHER_COMPARISONS[match[0]]:
            yield f"{match[0]} at {match.start()} became {other}", _put(expr, match, other)
    for match in _NUMBER.finditer(bare):
        for other in _other_numbers(match[0]):
            yield f"{match[0]} at {match.start()} became {other}", _put(expr, match, other)
    for match in re.finditer(r"\b([a-z_]+)(?=( (?:by|on) \([^)]*\))|\()|\b(?:and|or|unless)\b", expr):
        for other in _OTHER_WORDS.get(match[0], ()):
            what = f"{match[0]}{match[2] or ''} at {match.start()}{_behind(expr, match)} became {other!r}"
            yield what, _put(expr, match, other)
    for window in sorted(set(re.findall(r"\[\d+[smh]\]", expr))):
        count, unit = int(window[1:-2]), window[-2]
        for other in (f"[{count * 3}{unit}]", f"[{count * 20}{'s' if unit == 'm' else 'm'}]"):
            yield f"every {window} became {other}", expr.replace(window, other)
    yield from _labels(expr)
    yield from _branches(expr)


def _other_numbers(number: str) -> tuple[str, ...]:
    if number.isdigit() and int(number) < 20:  # a count
        return tuple(str(other) for other in (int(number) + 1, int(number) - 1) if other >= 0)
    return f"{float(number) * 1.2:.6g}", f"{float(number) * 0.8:.6g}"


def _labels(expr: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"\b[a-z]+ by \(([^)]*)\) \(", expr):
        names = match[1].split(", ")
        others = [[other for other in names if other != name] for name in names]
        others.append([*names, "pod"])
        for other in others:
            by = f" by ({', '.join(other)}) " if other else " "
            text = match[0].replace(f" by ({match[1]}) ", by)
            yield f"by ({match[1]}) at {match.start()}{_behind(expr, match)} became{by}", _put(expr, match, text)
        yield f"the aggregation at {match.start()}{_behind(expr, match)} went missing", _put(expr, match, "(")
    for match in re.finditer(r'([{,])(\w+)(=~|!~|!=|=)("[^"]*")(?=[,}])', expr):
        opposite = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[match[3]]
        yield (
            f"{match[0]} at {match.start()} went missing",
            _put(expr, match, match[1]).replace("{,", "{").replace("{}", ""),
        )
        yield (
            f"{match[0]} at {match.start()} was negated",
            _put(expr, match, f"{match[1]}{match[2]}{opposite}{match[4]}"),
        )


def _behind(expr: str, match: re.Match[str]) -> str:
    return " behind a condition" if re.search(r"\b(?:and|unless) on \(", expr[: match.start()]) else ""


def _branches(expr: str) -> Iterator[tuple[str, str]]:
    """Leave out what follows one of the outermost `and`, `or`, `unless`, up to the next."""
    depth, cuts = 0, []
    for match in re.finditer(r'[({\[]|[)}\]]|"[^"]*"|\b(?:and|or|unless)\b', expr):
        if match[0] in "({[":
            depth += 1
        elif match[0] in ")}]":
            depth -= 1
        elif depth == 0 and match[0][0] != '"':
            cuts.append(match.start())
    for begin, end in itertools.pairwise([*cuts, len(expr)]):
        yield f"{' '.join(expr[begin:end].split())!r} went missing", expr[:begin] + expr[end:]
        if begin == cuts[0]:
            yield "what comes before the first branch went missing", _after(expr[begin:])


def _after(branch: str) -> str:
    return re.sub(r"^(?:and|or|unless)(?: on \([^)]*\))?\s*", "", branch)


def _surroundings(rule: Document) -> Iterator[tuple[str, Document]]:
    labels = rule["labels"]
    for name in labels:
        yield f"label {name} went missing", {**rule, "labels": {k: v for k, v in labels.items() if k != name}}
        yield f"label {name} became another", {**rule, "labels": labels | {name: "other"}}
    for key in ("for", "keep_firing_for"):
        if key in rule:
            yield f"{key} went missing", {k: v for k, v in rule.items() if k != key}
            seconds = int(rule[key][:-1]) * {"s": 1, "m": 60, "h": 3600}[rule[key][-1]]
            for other in (seconds * 2, seconds // 2):
                yield f"{key} became {other}s", {**rule, key: f"{other}s"}
        else:
            yield f"{key} came in", {**rule, key: "1m"}
    for name in rule["annotations"]:
        less = {k: v for k, v in rule["annotations"].items() if k != name}
        yield f"annotation {name} went missing", {**rule, "annotations": less}


def _put(text: str, match: re.Match[str], other: str) -> str:
    return text[: match.start()] + other + text[match.end() :]
