"""A sidecar's application over views that a test chooses, and a server that serves it on a loopback port."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from kit.view_samples import well

from tickglass.telemetry.sidecar.web import SidecarServer, sidecar_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from tickglass.telemetry.sidecar.view import View


class Scene:
    """What the application is told; counts how often it looks."""

    def __init__(self) -> None:
        self._looked = threading.Condition()
        self.reset()

    def reset(self) -> None:
        self.view: View | Exception = well()
        self.reasons: list[str] = []
        self.looks = 0

    def app(self, **options: Any) -> Starlette:  # noqa: ANN401 - any option
        return sidecar_app(self.probe, self.scrape, lambda: self.reasons, **options)

    def probe(self) -> View:
        assert threading.current_thread() is not threading.main_thread()
        with self._looked:
            self.looks += 1
            self._looked.notify_all()
        if isinstance(self.view, Exception):
            raise self.view
        return self.view

    def scrape(self, accept: str) -> tuple[str, bytes]:
        return "text/plain; version=0.0.4", f"# for {accept}\n".encode() + b"up 1\n" * 1_000

    def wait_for_looks(self, count: int) -> None:
        with self._looked:
            assert self._looked.wait_for(lambda: self.looks >= count, 15.0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[str], tuple[Scene, str]]]:
    """Return a function that gives a scene and where it is served under a token: one for all tests of a module."""
    with ExitStack() as running:
        known: dict[str, tuple[Scene, str]] = {}

        def start(token: str) -> tuple[Scene, str]:
            if token not in known:
                scene = Scene()
                server = SidecarServer("127.0.0.1:0", scene.app(token=token))
                server.start()
                running.callback(server.stop)
                known[token] = scene, f"http://127.0.0.1:{server.port}"
            known[token][0].reset()
            return known[token]

        yield start


@pytest.fixture
def served(scene: Scene) -> Iterator[Callable[..., str]]:
    """Return a function that serves the scene and returns its address."""
    with ExitStack() as running:

        def start(**options: Any) -> str:  # noqa: ANN401
            server = SidecarServer("127.0.0.1:0", scene.app(**options))
            server.start()
            running.callback(server.stop)
            return f"http://127.0.0.1:{server.port}"

        yield start
