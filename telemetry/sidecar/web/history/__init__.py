"""Pages of what the ledger has: the runs of a job, as far back as they are kept, and all that is known of one run.

runs    what these pages show, of what was read from a store
routes  from a request to a page
"""
