import asyncio
import socket

from appliance.room.knock import is_back

DEADLINE_S = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def hang_up(_, writer):
    writer.close()


async def test_a_server_that_returns_is_noticed():
    port = free_port()
    knocking = asyncio.create_task(is_back(f"ws://127.0.0.1:{port}", every_s=0.05))
    done, _ = await asyncio.wait({knocking}, timeout=0.2)
    assert not done
    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        assert await asyncio.wait_for(knocking, DEADLINE_S)


async def test_a_server_that_was_never_away_is_no_news():
    port = free_port()
    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        assert not await is_back(f"ws://127.0.0.1:{port}")


async def test_a_name_that_cannot_be_resolved_is_somebody_who_is_away():
    knocking = asyncio.create_task(is_back("wss://nobody.invalid", every_s=0.05))
    done, _ = await asyncio.wait({knocking}, timeout=0.2)
    assert not done
    knocking.cancel()
