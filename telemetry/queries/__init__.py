"""PromQL that boards and alerting rules share: each expression is written here once, so that both always agree.

`selector.py` writes selectors and aggregations from the catalogue. `jobs.py` and `locks.py` write what is asked of
them: for how long a job has owed a success, which lock is held for too long. Boards (`dashboards/scope.py`) and rules
(`alerts/scope.py`) add which series they read.
"""
