"""Access tokens for LiveKit rooms: fetching them, and issuing them.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request
(`request`), sends it (`client`, errors in `http_failure`) and reads the response
(`response`, its forms in `response_body`) and the token in it (`claims`).
BACKENDS.md lists the configuration for each known token source.

`server` is `ptt-appliance token-server`, a small token source: `server_settings` reads
and checks its configuration (`server_config`), `server_app` responds to requests, with
`server_access` (who asks), `server_request` and `server_room_config` (what for) and
`issue` (signing). Start with `source` to follow a join, with `server_app` to
follow an issued token.
"""
