"""A real browser without a window, driven over a pipe: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root, in which it has none; and what is shown is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
)


class Browser:
    """One page at a time. ``complaints`` has what its console and its policy said, ``requests`` what it asked for."""

    def __init__(self, program: str) -> None:
        self._home = tempfile.mkdtemp(prefix="fargate-sandbox-browser-")
        ours, theirs = os.pipe(), os.pipe()
        # It reads from descriptor 3 and writes to descriptor 4. Those of the pipes are high enough to be none of them.
        high = {
            3: fcntl.fcntl(ours[0], fcntl.F_DUPFD_CLOEXEC, 10),
            4: fcntl.fcntl(theirs[1], fcntl.F_DUPFD_CLOEXEC, 10),
        }
        quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        moved = [(os.POSIX_SPAWN_DUP2, here, there) for there, here in high.items()]
        command = [program, f"--user-data-dir={self._home}", *_FLAGS]
        self._process = os.posix_spawn(program, command, os.environ, file_actions=[*quiet, *moved])
        for descriptor in (ours[0], theirs[1], *high.values()):
            os.close(descriptor)
        self._to, self._from = ours[1], theirs[0]
        self._heard, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        [target] = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        told = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = told["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", timeDomain="threadTicks")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        request = {"id": number, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._to, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("the browser says nothing")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path: Path, *, width: int = 1600, height: int = 1000, dark: bool = False, part: str = "") -> None:
        self.complaints.clear()
        self.requests.clear()
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, calm])
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.as_uri() + part)
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def size(self, width: int, height: int = 1000) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )

    def world(self, script: str) -> int:
        """One of its own on this page, in which the script has run: the page's policy does not hold there."""
        frame = self.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = int(self.call("Page.createIsolatedWorld", frameId=frame)["executionContextId"])
        self.call("Runtime.evaluate", expression=script, contextId=world)
        return world

    def run(self, script: str, world: int | None = None) -> Any:
        """The value of an expression; of a promise, what it comes to."""
        where = {"contextId": world} if world else {}
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, **where)
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"]["exception"].get("description", script))
        return told["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > deadline:
                raise RuntimeError(f"never: {script}")
            time.sleep(0.03)

    def script_seconds(self) -> float:
        """How long the processor has been at scripts of the page."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "ScriptDuration"))

    def key(self, name: str, *, shift: bool = False) -> None:
        text = {"Enter": "\r", "Space": " "}.get(name, name if len(name) == 1 else "")
        known = {"key": " " if name == "Space" else name, "code": name, "modifiers": 8 if shift else 0}
        codes = {"Enter": 13, "Tab": 9, "Space": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        if name in codes:
            known["windowsVirtualKeyCode"] = codes[name]
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, x: float, y: float, by: float) -> None:
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        for step in (0.5, 1.0):
            self.mouse("mouseMoved", x + by * step, y, button="left", buttons=1)
        self.mouse("mouseReleased", x + by, y, button="left", clickCount=1)

    def picture_of(self, canvas: str) -> str:
        """What is painted on it, once it is."""
        frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        return str(self.run(f"{frame}.then(() => document.querySelector('{canvas}').toDataURL())"))

    def picture(self, path: Path, *, whole: bool = False) -> None:
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def close(self) -> None:
        try:
            self._session = ""
            self.call("Browser.close")
            wait_until(lambda: os.waitpid(self._process, os.WNOHANG)[0] or None, deadline=30, what="its end")
        except (RuntimeError, OSError):  # WaitTimeout among them
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._home, ignore_errors=True)
