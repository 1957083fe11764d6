"""`virtadm ui` on a real cluster, in a real Chromium: start a VM, type into its console, see its display, upgrade.

SCREENSHOTS names a folder for pictures, docs/images for example.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.admin import administrator
from tests.e2e.builds import NEXT, TODAY, grant_permissions, pull, reached
from tests.e2e.virtual_machines import existing, has, vm_manifest
from tests.support import browser
from tests.support.browser import Page
from tests.support.page_process import PageProcess, page_process

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browser.chromium(), reason="needs Debian's package chromium")]

SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
NAME = "seen-in-a-page"
KEY = f"default/{NAME}"
LIT = (
    "(() => { const c = document.querySelector('canvas'); if (!c || c.width < 300) return false;"
    "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
    "return d.some((part, place) => place % 4 < 3 && part > 100) })()"
)
"""Whether some pixel of the display is lit."""

STEPS = (
    "window.seen = new Set(); window.looking = setInterval(() => document.querySelectorAll("
    "'.steps [aria-current=step]').forEach((step) => window.seen.add(step.innerText.split(':')[0])), 50); 0"
)


@pytest.fixture
async def process() -> AsyncIterator[PageProcess]:
    browser.bundled()
    async with page_process(os.environ["KUBECONFIG"]) as running:
        yield running


@pytest.fixture
async def page(process: PageProcess, tmp_path: Path) -> AsyncIterator[Page]:
    async with browser.opened(tmp_path / "profile") as tab:
        await tab.screen(1200, 800)
        await tab.goto(process.url)
        await tab.sees("good once")
        await tab.click("#code")
        await tab.type(f"{process.code}\n")
        await tab.sees(" VMs", "#main")
        yield tab
        assert not [url for url in tab.urls if process.code in url]
        assert process.listens_on() == {"0100007F"}


async def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(Path(SCREENSHOTS) / f"ui-{name}.png")


async def test_a_vm_is_started_used_and_stopped_in_the_page(page: Page) -> None:
    body = vm_manifest(NAME, "Manual")
    kernel = body["spec"]["template"]["spec"]["domain"]["firmware"]["kernelBoot"]
    kernel["kernelArgs"] = "console=tty0 console=ttyS0 no_timer_check ticks=off"
    with existing(body):
        has(NAME, "Stopped")
        await page.sees(NAME, "tbody")
        await picture(page, "vms")
        await page.click(f'[id="start:{KEY}"]')
        await page.sees(f"start of {KEY} is requested", "#message")
        await page.click(f'[aria-label="Console {KEY}"]')
        await page.sees("Connected.", "#stream")
        await page.type("\n")
        await page.sees("ready #", ".xterm-rows")
        await page.type("echo $((6*7))-answer\n")
        await page.sees("42-answer", ".xterm-rows")
        await picture(page, "console")
        await page.press("]", control=True)
        await page.press("Enter")
        await page.click(f'[aria-label="Display {KEY}"]')
        await page.sees("Connected.", "#stream")
        await page.until(LIT)
        await picture(page, "display")
        await page.click("#back")
        await page.sees("Examine again")
        await picture(page, "vm")
        assert not await page.serious()
        await page.click(f'[id="stop:{KEY}"]')
        await page.click("dialog [value=yes]")
        await page.sees("Stopped", '[aria-label="State"]')
        # A virt-handler without metrics is a failed request, too.
        assert not [error for error in page.errors if "Failed to load resource" not in error]
        has(NAME, "Stopped")


async def test_an_upgrade_is_planned_begun_and_followed_in_the_page(page: Page, back_to_today: None) -> None:
    administrator()  # without a client certificate there is no plan
    for build in (TODAY, NEXT):
        pull(build)
    grant_permissions(NEXT)
    await page.click('nav a[href="#/suite"]')
    await page.sees(TODAY.tag, "#release")
    await page.click("#tag")
    await page.type(f"{NEXT.tag}\n")
    await page.sees("0 in the way", "#summary")
    await picture(page, "plan")
    await page.run(STEPS)
    await page.click("#upgrade")
    await page.click("dialog [value=yes]")
    await page.sees("virt-handler: now", ".steps [aria-current=step]")
    await picture(page, "upgrade")
    await page.until(f"document.querySelector('#release').innerText.endsWith(': Deployed, {NEXT.tag}')", 300)
    seen = await page.run("[...window.seen]")
    assert {"virt-handler", "virt-controller", "virt-api"} <= set(seen), seen
    reached(NEXT)
    assert not await page.serious()
