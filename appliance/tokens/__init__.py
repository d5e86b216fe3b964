"""Access tokens for LiveKit rooms: fetching them, and issuing them.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request
(`request`), sends it (`client`) and parses the response and the token in it
(`response`). `server` is `ptt-appliance token-server`, a small token source:
`server_settings` reads its configuration (`server_config`), `server_app` responds to
requests, with `server_access` (who asks), `server_request` and `server_room_config`
(what for) and `server_issuer` (signing). Start with `source` to follow a join, with
`server_app` to follow an issued token.
"""
