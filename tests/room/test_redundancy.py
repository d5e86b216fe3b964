"""Redundant audio (RED), which repairs lost packets without a retransmission."""

from tests.room.conftest import open_box
from tests.room.test_encryption import key_file, with_key


def codec(friend):
    """Return the codec of the box's track, as the server announces it."""
    tracks = friend.room.remote_participants["box"].track_publications
    (publication,) = tracks.values()
    return publication.mime_type


async def test_the_box_publishes_redundant_audio(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await friend.hear(0.2)
        assert codec(friend) == "audio/red"


async def test_encrypted_audio_has_no_redundancy(server, tmp_path, encrypted):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"swordfish")) as friend,
    ):
        await box.join(server)
        await friend.hear(0.2)
        assert codec(friend) == "audio/opus"
