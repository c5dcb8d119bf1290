"""Give this process a name that outlives it: host, service and slot, never a pid.

A slot is the lowest number whose lock file nobody on this host holds, so the
same instances get the same names after a restart, and two never share one.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["Slot"]

_SLOTS_MOST: Final = 10_000


class Slot:
    """A numbered place for one instance of a service on this host, held until closed.

    The lock file's lock goes with the process, however it ends.
    """

    def __init__(self, service: str) -> None:
        home = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"tickglass-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        name = re.sub(r"[^\w.-]", "_", service)
        for number in range(_SLOTS_MOST):
            descriptor = os.open(home / f"{name}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._descriptor = descriptor
            self.owner = f"{os.uname().nodename}/{service}/{number}"
            return
        raise OSError(f"all {_SLOTS_MOST} slots of {service} are taken")

    def close(self) -> None:
        """Free the slot."""
        os.close(self._descriptor)
