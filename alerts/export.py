"""Write the rules as files. The same rules give the same bytes."""

from __future__ import annotations

import re
from importlib.resources import files as packaged
from typing import TYPE_CHECKING, Any, Final

import yaml

from tickglass.alerts.alertmanager import alertmanager
from tickglass.alerts.rulebook import groups
from tickglass.alerts.scope import DEFAULT_FLEET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.alerts.rule import Links
    from tickglass.alerts.scope import RuleScope

__all__ = ["ALERTMANAGER", "OPERATOR", "RULES", "files", "runbooks"]

RULES: Final = "tickglass-rules.yml"
OPERATOR: Final = "prometheusrule.yml"
ALERTMANAGER: Final = "alertmanager.yml"
_HEAD: Final = "# Generated from Tickglass's catalogue of metrics: edit the source, or export with other options.\n"


class _Dumper(yaml.SafeDumper):
    """Writes block style, keeps the line breaks of expressions, and uses no YAML aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=2**16, allow_unicode=True)


def files(scope: RuleScope, links: Links) -> dict[str, str]:
    """Return the text of every file, by name: the rules, the same for the operator, the example for Alertmanager."""
    rules = {"groups": [group.document(scope.fleet, links) for group in groups(scope)]}
    own = "" if scope.fleet == DEFAULT_FLEET else "-" + re.sub(r"[^a-z0-9-]", "-", scope.fleet.lower()).rstrip("-")
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"tickglass{own}", "labels": {"app.kubernetes.io/name": "tickglass"}},
        "spec": rules,
    }
    return {RULES: _yaml(rules), OPERATOR: _yaml(manifest), ALERTMANAGER: _yaml(alertmanager(scope))}


def runbooks() -> dict[str, str]:
    """Return the text of every runbook page, by file name."""
    folder = packaged("tickglass.alerts") / "runbooks"
    return {
        page.name: page.read_text(encoding="utf-8") for page in sorted(folder.iterdir(), key=lambda page: page.name)
    }
