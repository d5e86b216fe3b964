"""Connection of LiveKit's SDK to the relay: one request, and its answer."""

import asyncio
from http import HTTPStatus
from typing import Final

import h11

from appliance.dtelecom.upstream import CHUNK_BYTES, HEAD_BYTES, Answer

OF_ONE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"content-length", b"transfer-encoding"}
)
"""Headers that concern one of the two connections only."""


class SdkConnection:
    """Connection of the SDK to the relay."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take over an accepted connection."""
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def request(self) -> h11.Request | None:
        """Return the head of the request; None: the client has closed."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                # Lets h11 know that there is no body.
                self._http.next_event()
                return event
            if event is not h11.NEED_DATA:
                return None
            self._http.receive_data(await self.reader.read(CHUNK_BYTES))

    def send(self, answer: Answer) -> None:
        """Send an answer; unless it switches protocols, the connection ends then."""
        if answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._write(
                h11.InformationalResponse(
                    status_code=answer.status, headers=answer.headers
                )
            )
            return
        length = str(len(answer.body)).encode()
        headers = [
            *(
                pair
                for pair in answer.headers
                if pair[0].lower() not in OF_ONE_CONNECTION
            ),
            (b"Content-Length", length),
            (b"Connection", b"close"),
        ]
        self._write(
            h11.Response(
                status_code=answer.status, headers=headers, reason=answer.reason
            )
        )
        self._write(h11.Data(data=answer.body))
        self._write(h11.EndOfMessage())

    def close(self) -> None:
        """Close the connection; what was sent before still arrives."""
        self.writer.close()

    def _write(self, event: h11.Event) -> None:
        self.writer.write(self._http.send(event) or b"")
