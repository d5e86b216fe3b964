"""Web page for phones on the LAN, with its HTTP and WebSocket API.

`adapter` serves it for the app; `application` has uvicorn, the routes and the static
files. `access` checks each request, makes responses and has the pairing form;
`websocket` is the live connection, `messages` parses what clients request, and
`controls` posts it as events and ends the talks of clients that are gone. `pairing`
stores the PIN and the logins and limits wrong PINs, and `pair_command` prints the PIN.
`snapshot` is the view that clients receive. Start with `application`, which connects
the modules; the API is described in `API.md`.
"""
