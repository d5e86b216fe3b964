"""Web page for phones on the LAN, with its HTTP and WebSocket API.

`adapter` serves it for the app; `application` has uvicorn, the routes and the static
files, `websocket` sends the views. `access` checks each request, makes responses and
has the pairing form. `messages` has the JSON of the API: the view and what clients
request; `controls` posts that as events and ends the talks of clients that are gone.
`pairing` stores the PIN and the logins and limits wrong PINs, and `pair_command` prints
the PIN. Start with `application`, which connects the modules; the API is described in
`API.md`.
"""
