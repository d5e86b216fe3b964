"""Web page for phones on the LAN, with its HTTP and WebSocket API.

`adapter` serves it for the app; `application` is the ASGI application in uvicorn.
`access` checks each request and has the pairing form, `routes` answers plain requests
and `websocket` the live connection; `commands` parses what clients request and
`controls` posts it as events. `pairing` checks PINs and sessions, which `pairing_file`
stores, and `pin_lockout` limits wrong PINs. Start with `application`, which connects
the modules; the API is described in `API.md`.
"""
