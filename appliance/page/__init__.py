"""Web page for phones on the LAN, with its HTTP and WebSocket API.

`adapter` serves it for the app; `application` is the ASGI application in uvicorn.
`access` checks each request, `routes` answers plain requests and `websocket` the live
connection; `commands` parses what clients request and `controls` posts it as events.
`pairing`, `pairing_file`, `pairing_form` and `pin_lockout` give phones a session.
Start with `application`, which connects the modules; the API is described in `API.md`.
"""
