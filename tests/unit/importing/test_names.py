"""A job is named after what its command runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickglass.importing.names import names_of_command, unique


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("backup --all", "backup"),
        ("/usr/local/bin/report.sh -v", "report"),
        ("certbot -q renew", "certbot-renew"),
        ("python3 /opt/app/sync.py", "sync"),
        ("python3 -m billing.invoices", "billing-invoices"),
        ("cd /srv && ./venv/bin/python manage.py clearsessions >> /var/log/x.log 2>&1", "manage-clearsessions"),
        ("A=b C=d nice -n 19 ionice -c3 rsync -a /srv/ host:/srv/", "rsync"),
        ("/usr/bin/env PATH=/x php /var/www/cron.php", "cron"),
        ("flock -n /run/x.lock -c 'pg_dump shop | gzip'", "pg_dump-shop"),
        ("flock -n /run/x.lock timeout 5m /opt/poll", "poll"),
        ("sudo -u www-data php -d memory_limit=1G artisan schedule:run", "artisan-schedule-run"),
        ("[ -x /usr/bin/x ] && if [ ! -d /run ]; then /usr/lib/x; fi", "x"),
        ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", "run-parts"),
        ("perl -e 'sleep 5' && certbot renew", "certbot-renew"),
        ("bash -c 'backup --all'", "backup"),
        ('echo "open && closed', "closed"),
        ("curl -fsS https://example.com/ping > /dev/null", "curl"),
        ("größe", "gr-e"),
        ("cd /srv", "job"),
        ("", "job"),
        ("!!!", "job"),
    ],
)
def test_the_first_name_says_what_runs(command: str, name: str) -> None:
    assert names_of_command(command)[0] == name


def test_jobs_of_one_program_are_told_apart_by_their_arguments() -> None:
    lines = ("run-parts /etc/cron.daily", "run-parts /etc/cron.weekly", "backup")
    assert unique([names_of_command(line) for line in lines]) == [
        "run-parts-cron-daily",
        "run-parts-cron-weekly",
        "backup",
    ]


def test_the_same_command_twice_is_numbered() -> None:
    assert unique([names_of_command("curl -s https://x/ping")] * 3) == ["curl-ping", "curl-ping-2", "curl-ping-3"]
    assert unique([["a"], ["a-2"], ["a"]]) == ["a", "a-2", "a-3"]


def test_a_name_stays_when_other_lines_come() -> None:
    first = [names_of_command(line) for line in ("backup all", "report")]
    more = [names_of_command(line) for line in ("sync", "backup all", "poll", "report")]
    assert unique(first) == [unique(more)[1], unique(more)[3]]


@given(st.lists(st.lists(st.sampled_from(["a", "a-2", "b", "a-b"]), min_size=1)))
def test_no_name_is_given_twice(choices: list[list[str]]) -> None:
    found = unique(choices)
    assert len(set(found)) == len(found) == len(choices)


@given(st.text())
def test_every_command_has_a_name_that_needs_no_quotes(command: str) -> None:
    for name in names_of_command(command):
        assert name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
