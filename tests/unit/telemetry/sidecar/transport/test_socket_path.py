from __future__ import annotations

from pathlib import Path

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.sidecar.transport.socket_path import default_path


def test_the_socket_is_where_this_users_things_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_path() == str(tmp_path / "tickglass.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "not there"))
    monkeypatch.setattr("tickglass.telemetry.sidecar.transport.socket_path.os.access", lambda *_: False)
    monkeypatch.setattr("tickglass.telemetry.sidecar.transport.socket_path.tempfile.gettempdir", lambda: str(tmp_path))
    path = Path(default_path())
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="no folder is usable for a socket"):
        default_path()
