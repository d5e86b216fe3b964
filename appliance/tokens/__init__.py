"""Access tokens for LiveKit rooms: fetching them, and issuing them.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request
(`request`), sends it (`client`, errors in `http_failure`) and reads the response
(`response`, its forms in `response_body`) and the token in it (`claims`).
`server` is `ptt-appliance token-server`, a small token source with the settings in
`server_config`, the limits in `server_limits` and the signing in `issue`.
Start with `source` to follow a join, with `server` to follow an issued token.
BACKENDS.md lists the configuration for each known token source.
"""
