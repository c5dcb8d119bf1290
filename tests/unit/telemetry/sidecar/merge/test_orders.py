"""What operators asked for is part of the view as long as it stands, by the store's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.control.operator import Operator
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import InstanceRecord, InstanceState

if TYPE_CHECKING:
    from kit.sidecar_views import SidecarRig

    from tickglass.telemetry.sidecar.view import OrderView


def orders(rig: SidecarRig) -> list[OrderView]:
    rig.probe()
    return rig.view().orders


def test_every_kind_of_order_is_seen_with_what_it_is_about(rig: SidecarRig) -> None:
    rig.register(owner="host-1")
    store = rig.store
    store.join(InstanceRecord("billing", "host-1", "1", "1.0", "f", InstanceState.RUNNING), ["nightly"])
    operator = Operator(store, "anna")
    end_ns = store.time_ns() + 60 * SECOND
    operator.pause("nightly", "billing", "r", end_ns)
    operator.skip("nightly", None, "r", None)
    operator.trigger("nightly", None, "r", SECOND)
    operator.drain("host-1", None, "r", None)
    rig.claim(owner="host-1")
    operator.cancel("nightly", None, "r", None)
    pause, skip, run, drain, cancel = orders(rig)
    assert (pause.kind, pause.service, pause.job, pause.until_wall_ns) == ("pause", "billing", "nightly", end_ns)
    assert (pause.number, pause.by, pause.reason, pause.source) == (1, "anna", "r", rig.view().stores[0].source)
    assert (skip.kind, skip.job, skip.due_ns is not None) == ("skip", "nightly", True)
    assert (run.kind, run.due_ns) == ("run", store.time_ns())
    assert (drain.kind, drain.owner, drain.job) == ("drain", "host-1", "")
    assert (cancel.kind, len(cancel.run_id) > 0) == ("cancel", True)


def test_what_has_ended_is_seen_no_more_without_another_probe(rig: SidecarRig) -> None:
    rig.register(owner="host-1")
    Operator(rig.store, "anna").pause("nightly", "billing", "r", rig.store.time_ns() + 2 * SECOND)
    assert len(orders(rig)) == 1
    rig.clock.advance(2 * SECOND)
    assert rig.view().orders == []
