"""Read jobs that are declared in a file; `Scheduler.load` is the way in. Reference: docs/jobs-file.md."""

from tickglass.jobs_file.loading import LoadedJobs, load_jobs

__all__ = ["LoadedJobs", "load_jobs"]
