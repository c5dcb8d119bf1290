"""A real browser without a window, spoken to by its own protocol over two pipes: no driver, no port, no package.

Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import queue
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from kit.servers import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PATIENCE_S", "Browser", "Tab", "running_browser"]

PATIENCE_S: Final = 45.0  # a browser on a busy machine is slow to begin, and so is what examines a page in it
_OPTIONS: Final = (
    "--headless=new",
    "--remote-debugging-pipe",  # what is read from descriptor 3 and written to 4
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
)
_LOADED_BY_ITSELF: Final = ("data:", "blob:", "about:", "chrome")

# Resolves once the expression is true: asked whenever the page changes.
_UNTIL: Final = """new Promise(resolve => {
  const holds = () => { try { return %s } catch { return false } };
  const watch = new MutationObserver(() => { if (holds()) { watch.disconnect(); resolve(true); } });
  watch.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
  if (holds()) { watch.disconnect(); resolve(true); }
})"""


class Browser:
    """A running Chromium."""

    def __init__(self, profile: Path) -> None:
        program = find_server("chromium")
        ours, theirs = os.pipe(), os.pipe()
        arguments = [program, *_OPTIONS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        silence = os.open(os.devnull, os.O_RDWR)
        actions = [
            (os.POSIX_SPAWN_DUP2, silence, 1),
            (os.POSIX_SPAWN_DUP2, silence, 2),
            (os.POSIX_SPAWN_DUP2, os.dup(ours[0]), 3),
            (os.POSIX_SPAWN_DUP2, os.dup(theirs[1]), 4),
        ]
        self._pid = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setpgroup=0)
        for descriptor in (silence, ours[0], theirs[1], actions[2][1], actions[3][1]):
            os.close(descriptor)
        self._write = os.fdopen(ours[1], "wb", buffering=0)
        self._read = os.fdopen(theirs[0], "rb")
        self._changed = threading.Condition()
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._listen, name="browser")
        self._reader.start()

    def call(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        """Ask for something and return the answer."""
        with self._changed:
            self._number += 1
            number = self._number
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._write.write(json.dumps(message).encode() + b"\0")
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers, PATIENCE_S), f"no answer to {method}"
            answer = self._answers.pop(number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def events(self, session: str, method: str) -> list[dict[str, Any]]:
        """Return what was told of a tab so far."""
        with self._changed:
            return [e["params"] for e in self._events if e.get("sessionId") == session and e["method"] == method]

    def wait_for(self, session: str, method: str, count: int) -> None:
        """Block until something was told so many times."""
        with self._changed:
            told = self._changed.wait_for(lambda: len(self.events(session, method)) >= count, PATIENCE_S)
            assert told, f"waited in vain for {method}"

    def close(self) -> None:
        """End it; return when it is gone."""
        with suppress(OSError, AssertionError):
            self.call("Browser.close")
        self._write.close()
        ended = queue.SimpleQueue[int]()
        threading.Thread(target=lambda: ended.put(os.waitpid(self._pid, 0)[1])).start()
        try:
            ended.get(timeout=PATIENCE_S)
        except queue.Empty:
            os.killpg(self._pid, signal.SIGKILL)
            ended.get(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        self._read.close()

    def _listen(self) -> None:
        rest = b""
        while chunk := self._read.read1(1 << 20):
            *whole, rest = (rest + chunk).split(b"\0")
            with self._changed:
                for text in whole:
                    message = json.loads(text)
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self._events.append(message)
                self._changed.notify_all()


class Tab:
    """One page in it, and what it complained about and asked for."""

    def __init__(self, browser: Browser, *, width: int = 1440, height: int = 900, dark: bool = False) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Ask for something of this tab."""
        return self._browser.call(method, self._session, **params)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page another size, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url: str) -> None:
        """Go there; return when it has loaded."""
        with self.loading():
            answer = self.call("Page.navigate", url=url)
            assert not answer.get("errorText"), answer

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Block at the end until another page than at the beginning has loaded."""
        before = len(self._browser.events(self._session, "Page.loadEventFired"))
        yield
        self._browser.wait_for(self._session, "Page.loadEventFired", before + 1)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of some JavaScript, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Block until some JavaScript is true of the page."""
        assert self.evaluate(_UNTIL % expression) is True

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, which may write something, and let it go."""
        same = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as a PNG file."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def complaints(self) -> list[str]:
        """What the page or the browser wrote to the console as a warning or an error."""
        said = [
            f"{entry['entry']['level']}: {entry['entry']['text']} {entry['entry'].get('url', '')}"
            for entry in self._browser.events(self._session, "Log.entryAdded")
            if entry["entry"]["level"] in ("warning", "error")
        ]
        said += [str(e["args"]) for e in self._browser.events(self._session, "Runtime.consoleAPICalled")]
        return said + [str(e) for e in self._browser.events(self._session, "Runtime.exceptionThrown")]

    @property
    def requested(self) -> set[str]:
        """Every address that the page asked for."""
        sent = self._browser.events(self._session, "Network.requestWillBeSent")
        urls = {event["request"]["url"] for event in sent}
        return {url for url in urls if not url.startswith(_LOADED_BY_ITSELF)}


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Run a browser with a profile of its own."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
