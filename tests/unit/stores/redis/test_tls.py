"""TLS to Redis is spoken, certificates are checked, and what is wrong with either is told from an outage."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from kit.asks import ASK
from kit.servers import find_free_port, find_server

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Granted, Released
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.servers import RedisServer


def refused_by(url: str) -> StoreUnavailable:
    """Return why the store cannot be asked."""
    store = open_store(url, SystemClock())
    with pytest.raises(StoreUnavailable) as raised:
        store.leases()
    store.close()
    return raised.value


def test_tls_is_spoken_and_certificates_are_checked(own_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", find_free_port()
    command = [find_server("openssl"), "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
    command += ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(certificate))
    own_redis(*tls, "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    store = open_store(f"rediss://127.0.0.1:{port}/0?ca={certificate}", SystemClock())
    granted = store.acquire(ASK)
    assert isinstance(granted, Granted)
    assert store.release(Lease("ledger", "n1", "token", granted.fence, ASK.ttl_ns, 0)) == Released()
    store.close()
    for url in (f"rediss://127.0.0.1:{port}/0", f"rediss://localhost:{port}/0?ca={certificate}"):
        refused = refused_by(url)
        assert "certificate verify failed" in refused.detail
        assert refused.kind == "error"


def test_silence_in_a_tls_handshake_is_told_as_such(own_redis: Callable[..., RedisServer]) -> None:
    place = f"127.0.0.1:{own_redis().port}"
    refused = refused_by(f"rediss://{place}/0?timeout=300ms")
    assert f"no answer from {place} to the TLS handshake; does it speak TLS there?" in refused.detail
    assert refused.kind == "unavailable"
