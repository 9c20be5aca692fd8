# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-site`: every page of build/site in headless Chromium, at the widths of a desk and of a telephone.

A page fails that is wider than its window, that asks anybody but our own server, whose script complains, or of which a picture does
not load. Pictures of the pages are in build/site-look. Chromium is Debian's (apt install chromium-headless-shell), spoken to by its own
protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import http.server
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tools.site.build import SITE
from tools.site.source import ROOT

WIDTHS = (1280, 390)
LOOK = ROOT / "build/site-look"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Pages of which pictures are kept for people; of all others only what is wrong is told.
SHOWN = ("index", "tutorial", "errors", "commands", "checks", "module-linode_gpu_instance", "plans", "architecture")
# What of the page is wider than the window, and which pictures are none.
_MEASURE = """(() => {
  const room = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth > room ? [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > room + 1).slice(0, 3).map(e => e.tagName + '.' + e.className) : [];
  const broken = [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src);
  return {over: document.documentElement.scrollWidth - room, wide, broken, title: document.title};
})()"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Tab:
    """One page of the browser: commands with their answers, and what it reports by itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self.events.append(message)

    async def until(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self.events.append(await self._socket.receive_json(timeout=30))


def _complaints(events: list[dict[str, Any]], origin: str) -> list[str]:
    wrong = []
    for event in events:
        parameters = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith((origin, "data:", "blob:", "about:")):
                wrong.append(f"asks for {url}")
        elif event["method"] == "Runtime.exceptionThrown":
            wrong.append(f"its script fails: {parameters['exceptionDetails'].get('text')}")
        elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            wrong.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
    return wrong


async def look_at(
    tab: Tab, origin: str, page: str, width: int, kept: Path, *, dark: bool = False, shown: bool = False
) -> list[str]:
    """What is wrong with a page; a picture of it is put into the folder ``kept`` then, or where it is to be ``shown``."""
    # Nothing is remembered of the page before: what a script asks for once, and light or dark, would not be seen again.
    await tab.ask("Runtime.evaluate", expression="localStorage.clear(); sessionStorage.clear()")
    tab.events.clear()
    await tab.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
    )
    scheme = "dark" if dark else "light"
    await tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await tab.ask("Page.navigate", url=origin + page)
    await tab.until("Page.loadEventFired")
    found = (await tab.ask("Runtime.evaluate", expression=_MEASURE, returnByValue=True))["result"]["value"]
    wrong = _complaints(tab.events, origin)
    if found["over"] > 0:
        wrong.append(f"is {found['over']} pixels too wide: {', '.join(found['wide'])}")
    wrong += [f"shows no picture for {each}" for each in found["broken"]]
    if shown or wrong:
        picture = await tab.ask("Page.captureScreenshot", format="png")
        name = page.removesuffix(".html").replace("/", "-")
        path = kept / f"{name}-{width}{'-dark' if dark else ''}.png"
        path.write_bytes(base64.b64decode(picture["data"]))
    return [f"{page} at {width}: {each}" for each in wrong]


async def _port(told: Path) -> str:
    """Where the browser listens, which it writes down as soon as it does."""
    while not told.exists() or not told.read_text().strip():
        await asyncio.sleep(0.1)
    return told.read_text().split()[0]


@asynccontextmanager
async def tab_of(browser: str) -> AsyncIterator[Tab]:
    """A page of a browser that is started for it, with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="linode-coder-look-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
            *("--disable-background-networking", "--no-first-run", "--hide-scrollbars"),
            *(f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port = await asyncio.wait_for(_port(Path(profile) / "DevToolsActivePort"), 60)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    targets = await answer.json()
                address = next(each for each in targets if each["type"] == "page")["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in ("Page", "Network", "Runtime", "Log"):
                        await tab.ask(f"{domain}.enable")
                    yield tab
        finally:
            # With its helpers, which would outlive it.
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait_for(process.wait(), 30)


async def _all(browser: str, origin: str, pages: list[str]) -> list[str]:
    async with tab_of(browser) as tab:
        wrong = []
        for width in WIDTHS:
            for page in pages:
                shown = page.removesuffix(".html") in SHOWN
                wrong += await look_at(tab, origin, page, width, LOOK, shown=shown)
        return wrong + await look_at(tab, origin, "index.html", WIDTHS[0], LOOK, dark=True, shown=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="*", help="such as index.html; all of them otherwise")
    pages = parser.parse_args().pages or sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser is here; one of {', '.join(BROWSERS)} is needed: apt install {BROWSERS[0]}")
    shutil.rmtree(LOOK, ignore_errors=True)
    LOOK.mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wrong = asyncio.run(_all(browser, f"http://127.0.0.1:{server.server_port}/", pages))
        server.shutdown()
    for each in wrong:
        print(each)
    print(f"{len(pages)} pages at {len(WIDTHS)} widths, {len(wrong)} complaints; pictures are in {LOOK}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
