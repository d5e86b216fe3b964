"""Access tokens for LiveKit rooms: fetching them, and issuing them.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request
(`request`), sends it (`client`) and parses the response and the token in it
(`response`). `server` is `ptt-appliance token-server`, a small token source with the
settings in `server_config`, the limits in `server_limits` and the signing in `issue`.
Start with `source` to follow a join, with `server` to follow an issued token.
"""
