"""The SDK's own client for a sound card: `python -m tests.bench.mediadevices`.

As the SDK's README and the docstrings of `livekit.rtc.MediaDevices` show it: open the
input, publish its source, add each track to the output player and start it.
"""

import argparse
import asyncio
import os
import signal

from livekit import rtc
from livekit.rtc.media_devices import OutputPlayer

Options = argparse.Namespace


async def talk(options: Options) -> None:
    """Be in the room until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    devices = rtc.MediaDevices()
    is_on = options.processing
    microphone = devices.open_input(
        enable_aec=is_on,
        noise_suppression=is_on,
        high_pass_filter=is_on,
        auto_gain_control=is_on,
        input_device=index(devices.list_input_devices(), options.card),
    )
    speaker = devices.open_output(
        output_device=index(devices.list_output_devices(), options.card)
    )
    room = rtc.Room()
    heard: asyncio.Queue[rtc.Track] = asyncio.Queue()
    room.on("track_subscribed", lambda track, *_: heard.put_nowait(track))
    await room.connect(options.url, os.environ["ROOM_TOKEN"])
    track = rtc.LocalAudioTrack.create_audio_track("microphone", microphone.source)
    published = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, published)
    print("joined", flush=True)
    playing = asyncio.create_task(play(speaker, heard))
    await over.wait()
    await print_concealed(room)
    playing.cancel()
    await microphone.aclose()
    await speaker.aclose()
    await room.disconnect()


async def print_concealed(room: rtc.Room) -> None:
    """Print the library's own count of concealed speech, for comparison."""
    people = room.remote_participants.values()
    published = [x for person in people for x in person.track_publications.values()]
    stats = [x for one in published if one.track for x in await one.track.get_stats()]
    inbound = [x.inbound_rtp.inbound for x in stats if x.HasField("inbound_rtp")]
    silent = sum(x.silent_concealed_samples for x in inbound)
    concealed = sum(x.concealed_samples for x in inbound) - silent
    received = sum(x.total_samples_received for x in inbound)
    print("concealed", 100.0 * concealed / max(1, received), flush=True)


async def play(speaker: OutputPlayer, heard: asyncio.Queue[rtc.Track]) -> None:
    """Add each track that comes to the player."""
    await speaker.add_track(await heard.get())
    await speaker.start()
    print("track subscribed", flush=True)
    while True:
        await speaker.add_track(await heard.get())


def index(devices: list[dict[str, object]], name: str) -> int:
    """Return PortAudio's number of the card."""
    return next(int(str(x["index"])) for x in devices if name in str(x["name"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--card", required=True)
    parser.add_argument("--processing", action="store_true")
    asyncio.run(talk(parser.parse_args()))
