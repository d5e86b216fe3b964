"""The adapter: ports in use, and closing."""

import asyncio
import errno
import signal
import socket
import threading
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from appliance.config import PageConfig
from appliance.core.events import PageServed, Part, PartFound, PartLost, TalkAsked
from appliance.page.adapter import CHECK_S, Page, listen_reason
from tests.loopback import http_client
from tests.page.fake_app import Inbox, serving, site


async def test_a_port_in_use_is_reported_and_retried(tmp_path):
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        page = Page(PageConfig(listen=listen), inbox.post, site(tmp_path), check_s=0.01)
        async with page:
            await inbox.until(lambda: inbox.of(PartLost))
            (lost,) = inbox.of(PartLost)
            assert (lost.part, lost.name) == (Part.PAGE, listen)
            assert "in use" in lost.reason
            assert "write another page.listen" in lost.reason
            other.close()
            await inbox.has(PartFound(Part.PAGE, listen))
            await inbox.until(lambda: inbox.of(PageServed))
        assert len(inbox.of(PartLost)) == 1


def test_a_port_for_root_only_has_its_own_remedy():
    reason = listen_reason(PermissionError(errno.EACCES, "Permission denied"))
    assert reason == (
        "Permission denied. Ports below 1024 are for root: "
        "write a higher one into page.listen."
    )


async def test_a_host_name_is_looked_up_beside_the_event_loop(tmp_path, monkeypatch):
    is_asked, may_answer = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def slow_look_up(host, *rest, **options):
        if host != "box.test":
            return look_up(host, *rest, **options)
        is_asked.set()
        assert may_answer.wait(10)
        return look_up("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    inbox = Inbox()
    async with Page(PageConfig(listen="box.test:0"), inbox.post, site(tmp_path)):
        async with asyncio.timeout(10):
            while not is_asked.is_set():
                await asyncio.sleep(0.01)
        may_answer.set()
        await inbox.until(lambda: inbox.of(PageServed))
    assert not inbox.of(PartLost)
    assert shown(inbox) == "127.0.0.1"


def test_a_port_that_becomes_free_is_used_soon():
    assert CHECK_S <= 2


@pytest.mark.parametrize(
    ("hint", "shown", "hidden"),
    [
        ("", "ptt-appliance pair", "It is <here>."),
        ("It is <here>.", "It is &lt;here&gt;.", "ptt-appliance pair"),
    ],
)
async def test_the_pairing_form_says_where_to_find_the_pin(
    tmp_path, hint, shown, hidden
):
    inbox = Inbox()
    page = Page(
        PageConfig(listen="127.0.0.1:0"), inbox.post, site(tmp_path, pin_hint=hint)
    )
    async with page, http_client() as client:
        await inbox.until(lambda: inbox.of(PageServed))
        form = (await client.get(f"{inbox.of(PageServed)[0].url}/pair")).text
    assert shown in form
    assert hidden not in form
    assert "{{" not in form


async def test_the_posted_address_follows_the_network(tmp_path):
    inbox = Inbox()
    page = Page(
        PageConfig(listen="0.0.0.0:0"), inbox.post, site(tmp_path), check_s=0.01
    )
    async with page:
        inbox.page = page
        await inbox.until(lambda: inbox.of(PageServed))
        inbox.show(address="192.168.1.20")
        await inbox.until(lambda: shown(inbox) == "192.168.1.20")
        inbox.show(address="10.0.0.7")
        await inbox.until(lambda: shown(inbox) == "10.0.0.7")
        inbox.show(address="")
        await inbox.until(lambda: shown(inbox).endswith(".local"))
    assert len(inbox.of(PageServed)) == 4


def shown(inbox):
    return inbox.of(PageServed)[-1].url.removeprefix("http://").rpartition(":")[0]


async def test_closing_twice_is_fine_and_frees_the_port(tmp_path, clock):
    async with serving(tmp_path, clock) as served:
        assert served.inbox.page is not None
        await served.inbox.page.__aexit__(None, None, None)
    host, port = served.host.split(":")
    with socket.create_server((host, int(port))):
        pass


async def test_closing_before_it_serves_is_fine(tmp_path):
    inbox = Inbox()
    async with Page(PageConfig(listen="127.0.0.1:0"), inbox.post, site(tmp_path)):
        pass


async def test_closing_releases_the_button_and_the_sockets(tmp_path, clock):
    async with serving(tmp_path, clock) as served:
        cookie = await served.cookie()
        async with served.client(headers={"cookie": cookie}) as client:
            await client.post("/api/talk", json={"on": True})
        open_socket = await connect(
            f"ws://{served.host}/api/live",
            additional_headers={"cookie": cookie},
            proxy=None,
        )
    assert served.inbox.of(TalkAsked) == [TalkAsked(True), TalkAsked(False)]
    with suppress(ConnectionClosed):
        while True:
            await open_socket.recv()
    assert open_socket.close_code == 1012


async def test_the_page_installs_no_signal_handlers(tmp_path, clock):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(tmp_path, clock):
        after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert before == after


async def test_an_unexpected_error_in_a_request_ends_the_page(tmp_path):
    async def broken():
        raise ZeroDivisionError

    inbox = Inbox()
    page = Page(PageConfig(listen="127.0.0.1:0"), inbox.post, site(tmp_path, broken))
    with pytest.raises(BaseExceptionGroup) as ended:
        await _ask_for_metrics(page, inbox)
    assert ended.group_contains(ZeroDivisionError)


async def _ask_for_metrics(page, inbox):
    async with page:
        await inbox.until(lambda: inbox.of(PageServed))
        (event,) = inbox.of(PageServed)
        async with http_client(event.url) as client:
            await client.post("/pair", json={"pin": event.pin})
            assert (await client.get("/metrics")).status_code == 500
            await asyncio.Event().wait()
