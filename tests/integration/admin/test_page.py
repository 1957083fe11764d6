"""The page of `virtadm ui` in a real Chromium, in front of a fake API server: what a user sees, does and hears of.

Slow only because it needs Debian's chromium and, once, npm. SCREENSHOTS names a folder for pictures.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from virt_admin.ui.app import Server
from virt_admin.ui.page import read_page

from tests.support import browser
from tests.support.browser import Page
from tests.support.guest_streams import LEFT, RIGHT, GuestServer
from tests.support.page_process import page_process
from tests.support.page_server import page_server, put_event, put_guest, put_suite, put_vm

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browser.chromium(), reason="needs Debian's package chromium")]

SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
VIEWS = ("#/vms", "#/vms/default/web", "#/vms/default/web/console", "#/vms/default/web/display", "#/events", "#/suite")
CENTRES = (
    "(() => { const c = document.querySelector('canvas'); if (!c || c.width !== 64) return null;"
    "const g = c.getContext('2d'); const at = (x) => [...g.getImageData(x, 24, 1, 1).data].slice(0, 3).join();"
    "return [at(8), at(56)].join(' ') })()"
)
"""The colours of both halves of the display."""


@pytest.fixture(scope="module", autouse=True)
def page_is_bundled() -> None:
    browser.bundled()


@pytest.fixture
async def api() -> AsyncIterator[GuestServer]:
    async with GuestServer.running() as server:
        assert isinstance(server, GuestServer)
        put_vm(server, "web", runs=True)
        put_vm(server, "db", runs=False)
        put_vm(server, "batch", runs=False, printableStatus="ErrorUnschedulable")
        put_event(server, "e1", "web", "no room for the guest")
        put_suite(server, **upgrade())
        yield server


def upgrade() -> dict[str, Any]:
    """A status of the KubeVirt object."""
    found = {"operation": "Update", "step": "virt-handler", "fromVersion": "v1", "toVersion": "v2"}
    waits = [{"object": "DaemonSet kubevirt/virt-handler", "reason": "replacing pods", "since": "2026-01-31T10:00:00Z"}]
    times = {"since": "2026-01-31T10:00:00Z", "startedAt": "2026-01-31T09:59:00Z", "waitingFor": waits}
    versions = {"observedKubeVirtVersion": "v1", "targetKubeVirtVersion": "v2"}
    return {"phase": "Deploying", **versions, "upgrade": {**found, **times}}


@pytest.fixture
async def server(api: GuestServer, tmp_path: Path) -> AsyncIterator[Server]:
    async with page_server(api, tmp_path, read_page()) as serving:
        yield serving


@pytest.fixture
async def page(server: Server, tmp_path: Path) -> AsyncIterator[Page]:
    """With a session, at the list."""
    async with browser.opened(tmp_path / "profile") as tab:
        await tab.screen(1200, 800)
        await tab.goto(f"http://127.0.0.1:{server.port}/")
        await tab.sees("good once")
        await tab.click("#code")
        await tab.type(server.session.code)
        await tab.press("Enter")
        await tab.sees("3 of 3 VMs")
        yield tab
        secrets = (server.session.code, server.session.cookie, server.session.key)
        assert not [url for url in tab.urls if any(secret in url for secret in secrets)]
        assert not tab.errors


async def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(Path(SCREENSHOTS) / f"ui-{name}.png")


async def test_a_vm_is_started_from_the_list_and_its_state_follows(page: Page, api: GuestServer) -> None:
    def start(path: str) -> None:
        api.patch(f"{VMS}/db", {"status": {"printableStatus": "Running"}})
        put_guest(api, "db")

    api.on_command = start
    await picture(page, "vms")
    await page.click('[id="start:default/db"]')
    await page.until("document.querySelector('[id=\"stop:default/db\"]')")
    assert api.commands == [("v1/namespaces/default/virtualmachines/db/start", {})]
    await page.sees("start of default/db is requested", "#message")


async def test_a_stop_is_asked_about_and_a_refusal_is_shown(page: Page, api: GuestServer) -> None:
    api.refusal = "the VM is busy"
    await page.click('[id="stop:default/web"]')
    await page.sees("Stop default/web?", "dialog")
    assert not await page.serious()
    await page.press("Escape")
    await page.until("!document.querySelector('dialog').open")
    await page.click('[id="stop:default/web"]')
    await page.click("dialog [value=yes]")
    await page.sees("the VM is busy", "#alerts")
    assert not await page.serious()
    page.errors.clear()  # the browser logs the status


async def test_the_keyboard_suffices(page: Page, api: GuestServer) -> None:
    await page.press("/")
    await page.type("db")
    await page.sees("1 of 3 VMs")
    await page.press("Tab")
    assert await page.run("document.activeElement.id") == "vm:default/db"
    await page.press("Tab")
    await page.press("Enter")
    await page.sees("start of default/db is requested", "#message")
    assert await page.run("document.activeElement.id") == "start:default/db"


async def test_a_serial_console_answers_what_is_typed(page: Page) -> None:
    await page.click('[aria-label="Console default/web"]')
    await page.sees("Connected.", "#stream")
    await page.sees("ready", ".xterm-rows")
    await page.type("hello\n")
    await page.sees("answer to hello", ".xterm-rows")
    await picture(page, "console")
    await page.press("]", control=True)
    assert await page.run("document.activeElement.id") == "back"


async def test_a_console_that_ends_says_why_and_is_connected_again(page: Page, api: GuestServer) -> None:
    api.farewell = (1001, b"the guest has moved")
    await page.click('[aria-label="Console default/web"]')
    await page.sees("ready", ".xterm-rows")
    await page.type("exit\n")
    await page.sees("the guest has moved", "#stream")
    await page.click("#again")
    await page.sees("Connected.", "#stream")


async def test_a_display_shows_the_guests_pixels(page: Page) -> None:
    await page.click('[aria-label="Display default/web"]')
    await page.sees("Connected.", "#stream")
    wanted = " ".join(",".join(map(str, colour)) for colour in (LEFT, RIGHT))
    await page.until(f"{CENTRES} === '{wanted}'")
    await picture(page, "display")
    await page.press("]", control=True)
    assert await page.run("document.activeElement.id") == "back"


async def test_the_upgrade_is_shown_as_it_runs(page: Page, api: GuestServer) -> None:
    await page.click('nav a[href="#/suite"]')
    await page.sees("Update from v1 to v2")
    await page.sees("virt-handler: now", ".steps [aria-current=step]")
    await picture(page, "upgrade")
    status = {"status": {"upgrade": {"step": "virt-controller"}}}
    api.patch("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", status)
    await page.sees("virt-controller: now", ".steps [aria-current=step]")


async def test_a_plan_that_cannot_be_made_is_an_error_that_is_shown(page: Page) -> None:
    await page.click('nav a[href="#/suite"]')
    await page.click("#tag")
    await page.type("v3")
    await page.press("Enter")
    await page.sees("needs a kubeconfig with a client certificate", "#result .error")
    assert not await page.serious()


def answering(*plans: dict[str, Any]) -> str:
    """A script after which the page's calls are answered by these plans, and `asked` has what was posted."""
    lines = "\n".join(map(json.dumps, [{"progress": "reading the cluster"}, *({"plan": plan} for plan in plans)]))
    done = json.dumps(json.dumps({"message": "requested"}))
    return (
        "window.asked = []; window.fetch = async (path, options) => { asked.push([path, options.body]);"
        f"return new Response(path === '/api/plan' ? {json.dumps(lines)} + '\\n' : {done}) }}; 0"
    )


def planned(severity: str, blocking: int) -> dict[str, Any]:
    finding = {"severity": severity, "kind": "Node", "namespace": "", "name": "node1", "reason": "NodeNotReady"}
    finding |= {"message": "it is down", "steps": [], "irreversible": ""}
    versions = {"operation": "Update", "fromRelease": "0.1.0", "toRelease": "0.2.0", "tag": "v2", "seconds": 75.0}
    return {**versions, "blocking": blocking, "warnings": 0, "probed": True, "findings": [finding]}


async def test_an_upgrade_is_offered_only_after_a_plan_in_which_nothing_stands_in_the_way(page: Page) -> None:
    await page.click('nav a[href="#/suite"]')
    await page.run(answering(planned("blocking", 1)))
    await page.click("#tag")
    await page.type("v2\n")
    await page.sees("1 in the way", "#summary")
    await page.sees("Node node1", "#result")
    assert not await page.run("document.querySelector('#upgrade')") and not await page.serious()
    await page.run(answering(planned("info", 0)))
    await page.click("#plan")
    await page.sees("Update 0.1.0 → 0.2.0: about 75 s; 0 in the way", "#summary")
    await page.click("#upgrade")
    await page.sees("Change the suite to v2?", "dialog")
    await page.click("dialog [value=yes]")
    await page.sees("requested", "#message")
    path, body = (await page.run("asked"))[-1]
    assert (path, json.loads(body)) == ("/api/suite/upgrade", {"tag": "v2", "registry": ""})


async def test_an_api_server_that_is_away_is_shown(page: Page, api: GuestServer) -> None:
    await api.down()
    await page.sees("VirtualMachines: ", "#connection .error")
    await api.up()
    await page.until("!document.querySelector('#connection .error')")


async def test_details_have_findings_and_events(page: Page) -> None:
    await page.click('[id="vm:default/web"]')
    await page.sees("no room for the guest")
    await page.sees("10.244.1.7")
    await page.sees("Examine again")
    await picture(page, "vm")


async def test_statistics_are_graphs_with_their_numbers_in_words(page: Page, api: GuestServer) -> None:
    cores = iter(range(100, 10_000, 10))
    api.on_metrics = lambda: (
        f'kubevirt_vmi_cpu_usage_seconds_total{{namespace="default",name="web"}} {next(cores)}\n'
        'kubevirt_vmi_memory_resident_bytes{namespace="default",name="web"} 1.5e+08\n'
    )
    await page.click('[id="vm:default/web"]')
    await page.sees("used 143.1 MiB", ".graphs")
    await page.until("document.querySelector('polyline').getAttribute('points').includes(' ')")
    label = await page.run("document.querySelector('svg').getAttribute('aria-label')")
    assert label.startswith("CPU: used ") and label.endswith(" cores in five minutes")
    assert "Network" not in await page.run("document.querySelector('.graphs').innerText")
    assert not await page.serious()
    await picture(page, "statistics")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 360])
async def test_no_view_has_a_serious_fault_for_users_with_disabilities(page: Page, width: int, dark: bool) -> None:
    await page.screen(width, 800, dark=dark)
    for view in VIEWS:
        await page.run(f"location.hash = '{view}'")
        await page.until("document.querySelector('main h1, main .error')")
        if view.endswith(("console", "display")):
            await page.sees("Connected.", "#stream")
        assert not await page.serious(), view
        wide = await page.run("document.documentElement.scrollWidth")
        assert wide <= width, f"{view} is {wide} wide"
        await picture(page, f"{view[2:].replace('/', '-')}-{width}-{'dark' if dark else 'light'}")


async def test_the_command_listens_on_localhost_alone_and_ends_when_interrupted(
    api: GuestServer, tmp_path: Path
) -> None:
    config = api.write_kubeconfig(tmp_path / "config")
    async with page_process(str(config)) as process, browser.opened(tmp_path / "profile") as tab:
        assert process.listens_on() == {"0100007F"}
        await tab.goto(process.url)
        await tab.click("#code")
        await tab.type(f"{process.code}\n")
        await tab.sees("3 of 3 VMs")
        assert process.listens_on() == {"0100007F"}


async def test_a_wrong_code_opens_nothing(server: Server, tmp_path: Path) -> None:
    async with browser.opened(tmp_path / "profile") as tab:
        await tab.goto(f"http://127.0.0.1:{server.port}/")
        await tab.sees("good once")
        assert not await tab.serious()
        await tab.click("#code")
        await tab.type("WRONG\n")
        await tab.sees("This is not the code")
        assert not await tab.serious()


async def test_the_file_that_virtadm_opens_enters_without_the_code(server: Server, tmp_path: Path) -> None:
    from virt_admin.ui.serve import opener

    async with browser.opened(tmp_path / "profile") as tab:
        await tab.goto(opener(tmp_path, server).as_uri())
        await tab.sees("3 of 3 VMs")
        assert not [url for url in tab.urls if server.session.code in url]


async def test_a_page_of_another_port_reaches_nothing(page: Page, server: Server, api: GuestServer) -> None:
    await page.goto(f"http://127.0.0.1:{api.port}/version")
    await page.sees("gitVersion")
    script = f"fetch('http://127.0.0.1:{server.port}/api/vms/default/web/stop', {{method: 'POST', mode: 'no-cors', "
    assert await page.run(script + "credentials: 'include'}).catch(() => 'refused')") == "refused"
    opening = f"new WebSocket('ws://127.0.0.1:{server.port}/api/vms/default/web/console')"
    refused = f"new Promise((done) => {{ {opening}.onclose = (event) => done(event.code) }})"
    assert await page.run(refused) == 1006
    assert not api.commands and not api.protocols
    page.errors.clear()
