"""A real Chromium without a screen, over its own protocol (DevTools), for the page of `virtadm ui`.

A test acts with keys and the mouse, and reads what the document shows. Debian's package `chromium`, or CHROMIUM.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from localcluster.settings import PROJECT_ROOT

from tests.support.patience import PATIENCE

BUNDLER = PROJECT_ROOT / "services" / "admin" / "page" / "bundle.py"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "]": ("BracketRight", 221, ""),
    "/": ("Slash", 191, "/"),
}
"""Code, number and text."""

_CONTROL = 2  # a modifier
_WAIT = """new Promise((resolve) => {
  const look = () => { let found; try { found = (%s) } catch { found = null }
    if (found) resolve(found); else requestAnimationFrame(look) }
  look() })"""


class Page:
    """A tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.session = ""
        self.errors: list[str] = []
        """Exceptions, what the policy has refused, failed requests."""
        self.urls: list[str] = []
        """Of every request."""

    async def read(self) -> None:
        """Until the browser ends."""
        async for message in self._socket:
            received = json.loads(message.data)
            if "id" in received:
                self._waiting.pop(received["id"]).set_result(received)
            else:
                self._note(received["method"], received["params"])

    def _note(self, method: str, params: Any) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.urls.append(params["url"])

    async def call(self, method: str, **params: Any) -> Any:
        """Of the protocol."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        more = {"sessionId": self.session} if self.session else {}
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params, **more}))
        received = await self._waiting[number]
        if "error" in received:
            raise RuntimeError(f"{method}: {received['error']}")
        return received["result"]

    async def goto(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def run(self, expression: str) -> Any:
        """The value of an expression, or of its promise."""
        done = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    async def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """The value of the expression as soon as it is true, also if the document is replaced meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self.run(_WAIT % expression)
                    except RuntimeError as error:
                        if "context" not in str(error) and "navigated" not in str(error):
                            raise
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"never true: {expression}\n{text}\n{self.errors}") from None

    async def sees(self, text: str, within: str = "body") -> None:
        """Wait until the text is shown."""
        await self.until(f"document.querySelector({json.dumps(within)}).innerText.includes({json.dumps(text)})")

    async def click(self, selector: str) -> None:
        """With the mouse, as soon as it is there."""
        found = json.dumps(selector)
        await self.until(f"(e => e && e.checkVisibility() && !e.disabled)(document.querySelector({found}))")
        x, y = await self.run(
            f"(() => {{ const e = document.querySelector({found}); e.scrollIntoView({{block: 'center'}});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str, *, control: bool = False) -> None:
        """A key."""
        if key in _KEYS:
            code, number, text = _KEYS[key]
        else:  # xterm.js takes the numbers of some signs for those of arrows
            code, number, text = (f"Key{key.upper()}", ord(key.upper()), key) if key.isalnum() else ("", 0, key)
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": _CONTROL if control else 0}
        shown = {"text": text} if text and not control else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if shown else "rawKeyDown", **event, **shown)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text: str) -> None:
        """Keys, "\\n" is Enter."""
        for letter in text:
            await self.press("Enter" if letter == "\n" else letter)

    async def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Its size and colours."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, path: Path) -> None:
        """A PNG of what the screen shows."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))

    async def serious(self) -> list[str]:
        """What axe-core finds in the document that is serious or critical."""
        await self.run(axe().read_text() + ";0")
        found = await self.run("axe.run(document, {resultTypes: ['violations']}).then((done) => done.violations)")
        return [
            f"{violation['id']}: {node['html']} {node['failureSummary']}"
            for violation in found
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]


def chromium() -> str:
    """The program; "" if there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


def bundled() -> None:
    """The page, in the source tree."""
    subprocess.run([sys.executable, str(BUNDLER)], check=True)


def axe() -> Path:
    """The library, from the packages of the page's lock file."""
    script = f"import sys; sys.path.insert(0, {str(BUNDLER.parent)!r}); import bundle; print(bundle.packages())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip()) / "node_modules" / "axe-core" / "axe.min.js"


@asynccontextmanager
async def opened(profile: Path) -> AsyncIterator[Page]:
    """A new browser with a tab."""
    process = await asyncio.create_subprocess_exec(
        chromium(), *_FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "chromium has ended"
        draining = asyncio.create_task(process.stderr.read())
        url = line.decode().partition("listening on ")[2].strip()
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=2**26) as socket:
            page = Page(socket)
            reading = asyncio.create_task(page.read())
            target = (await page.call("Target.createTarget", url="about:blank"))["targetId"]
            attached = await page.call("Target.attachToTarget", targetId=target, flatten=True)
            page.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                await page.call(f"{domain}.enable")
            yield page
            reading.cancel()
            draining.cancel()
            await asyncio.gather(reading, draining, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
