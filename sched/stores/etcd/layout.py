"""Have every transaction check the layout of the keys, and say what to do if it is another version's.

`/layout` holds its number. A transaction that finds another one does nothing, and tells which one it found, in the
same round trip. A store without keys gets ours; keys of the layout before are migrated (migration.py). Layout 1 had no
such key; so its instances check nothing, and what refuses them is that they cannot read the key `/last/JOB`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aetcd import rpc

from tickglass.sched.stores.etcd import keys as kv

if TYPE_CHECKING:
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["MIGRATING", "OLDEST", "OURS", "REFUSAL", "Layout"]

OURS: Final = "2"
OLDEST: Final = "1"
MIGRATING: Final = "1>2"  # an instance migrates the keys, or died while it did: then the next one goes on
REFUSAL: Final = b'"These keys have layout 2: upgrade this instance of Tickglass."'


class Layout:
    """Guards the transactions on the keys under one prefix."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._is_ours = kv.same(keys.layout, OURS.encode())
        self._get = kv.get(keys.layout)

    def guard(self, transaction: Any) -> None:  # noqa: ANN401 - the client is not typed
        """Add the check to a transaction; the answers to its operations keep their places."""
        transaction.compare.extend([self._is_ours])
        transaction.failure.extend([self._get])

    def found(self, answer: Any) -> str:  # noqa: ANN401
        """Return the layout that a guarded transaction found; "" if there was none."""
        return OURS if answer.succeeded else layout_in(kv.read(answer, len(answer.responses) - 1))

    def read_request(self, asked: Any) -> Any:  # noqa: ANN401
        """Return the transaction that reads a range, for a reader: it reads the layout too, and whether there are keys.

        A reader changes nothing, so it must tell a store without keys from one of an older layout.
        """
        old = [kv.get(first, kv.after_prefix(first), limit=1, keys_only=True) for first in self.old_prefixes]
        reads = [rpc.RequestOp(request_range=asked), self._get, *old]
        return kv.transaction([], reads)

    def read_answer(self, answer: Any) -> tuple[Any, str]:  # noqa: ANN401
        """Return the range, and the layout that was found; OURS if there are no keys at all."""
        layout = layout_in(kv.read(answer, 1))
        if not layout:
            layout = OLDEST if any(kv.read(answer, 2 + at) for at in range(len(self.old_prefixes))) else OURS
        return answer.responses[0].response_range, layout

    @property
    def old_prefixes(self) -> tuple[bytes, ...]:
        """What the keys of layout 1 begin with."""
        return tuple(self.keys.old(word, "") for word in ("job", "open", "run", "last"))

    def problem(self, layout: str) -> str:
        """Return what is wrong with keys of another layout, and what to do."""
        where = self.keys.layout.decode().removesuffix("/layout")
        if layout == MIGRATING:
            return f"the keys under {where} are being migrated to layout {OURS}; ask again"
        if layout == OLDEST:
            return (
                f"the keys under {where} were written by an older Tickglass: they have layout {layout}, this one reads "
                f"{OURS}; the first scheduler of this version that starts on them migrates them"
            )
        return (
            f"the keys under {where} were written by a newer Tickglass: they have layout {layout}, this one knows "
            f"{OURS}; upgrade this installation, or give the store another prefix (?prefix=)"
        )


def layout_in(found: Any) -> str:  # noqa: ANN401
    """Return the layout of a key-value; "" if it is None."""
    return "" if found is None else found.value.decode()
