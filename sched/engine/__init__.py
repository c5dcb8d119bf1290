"""The loops that drive the domain through its ports.

The way of one occurrence through the rooms, and what each room answers:

    timing      timeline: calls the planner a lead before the due instant
       |
    planning    planner: is it admitted? (policies/admission.py: run, defer, skip, or too late)
       |          too late, or passed and was not taken up here: misfires asks the ledger who ran it
       |
    running     dispatcher: at most one occurrence of a job at a time
       |          pool:       workers; leader_followers and run_queue say what each of them does next
       |          assignment: before the claim; a worker takes it, or too late: misfires
       |          claimer:    one request for all that are due together
       |          claim:      is it ours? The answer is for the occurrence and for its lock.
       |                      Refused: wait for the lock within the grace, without a worker
       |          execution:  after the claim; when it is due, run it on an executor (sched/executors)
       |          run_lease:  may it go on? Renewed until its code has returned
       |          settlement: outcome and release, in one request for those that ended together
       |          outbox:     outcomes that could not be written yet
       |
    recovery    sweeper: outcomes still to write, claims in doubt, and orphans: claims of instances that
                died go back to planning, as reruns

Beside this way:

    locking     locks that callers take outside jobs, under the same leases
    membership  presence of labels, the head start of preferred instances, the record of this instance in the store
    leasing     leases in hand (renewer), leases in doubt, and the store as the engine sees it: measured,
                and with a cache of claims that other instances have won

`engine.py` starts and stops all of it; `readiness.py` says why this instance cannot be counted on.

Imports point one way, for type checking too, and no two rooms import each other:

    engine > recovery > planning > running | locking > membership > leasing > timing

Every room may import `context.py` (the ports, and the name of this instance), `broadcast.py` and
`foreign_errors.py` (errors of foreign code), and none of these imports a room. Threads that wait for an
instant or for work are loops (`sched/threads/loop.py`).
"""
