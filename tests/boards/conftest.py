"""A real Prometheus scrapes a real fleet in which everything happens, and has the rules; once for all tests here."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from boards.fleet import SCRAPES, Fleet
from instances import wait_until
from servers import Prometheus, RedisServer, running_prometheus

from tickglass.alerts import Links, Scope, files
from tickglass.alerts.written import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def config(ports: list[int], rules: Path) -> str:
    targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    return (
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{rules}']\n"
        "scrape_configs:\n"
        f"- {{job_name: tickglass, static_configs: [{{targets: [{targets}]}}], honor_labels: true}}\n"
    )


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Prometheus]]:
    """One Prometheus for each way in which series come, and a fleet in which everything has happened."""
    with ExitStack() as running:
        redis = RedisServer(tmp_path_factory.mktemp("redis"))
        running.callback(redis.end)
        redis.start()
        fleet = Fleet(tmp_path_factory.mktemp("fleet"), redis, running)
        ports = {SCRAPES[0]: [member.port for member in fleet.members], SCRAPES[1]: [fleet.sidecar.port]}
        started = {}
        for how in SCRAPES:
            home = tmp_path_factory.mktemp("prometheus")
            (home / RULES).write_text(files(Scope(), Links())[RULES])
            started[how] = running.enter_context(running_prometheus(home, config(ports[how], home / RULES)))
        for how, server in started.items():  # they have seen zeros before anything is counted
            wait_until(partial(scraped, server, len(ports[how])), "not all are scraped")
        fleet.everything_happens()
        yield started


def scraped(server: Prometheus, count: int) -> bool:
    return len(server.query("up == 1")) == count
