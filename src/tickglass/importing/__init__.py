"""Write a jobs file from what other schedulers are told, without running any of it. Reference: docs/cli.md."""

from tickglass.importing.apscheduler import read_apscheduler
from tickglass.importing.crontab import read_crontab
from tickglass.importing.jobs_text import Imported

__all__ = ["Imported", "read_apscheduler", "read_crontab"]
