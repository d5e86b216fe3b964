"""Access tokens for LiveKit rooms: fetching them, and issuing them.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request and posts
the event, `client` sends the request and names what failed, `response` reads the
response, and `claims` the token in it. BACKENDS.md lists the configuration for each
known token source.

`server` is `ptt-appliance token-server`, a small token source: `server_settings` reads
and checks its configuration (`server_config`), `server_app` responds to requests and
counts them, with `server_access` (who asks), `server_request` (what for) and `issue`
(signing; for dTelecom `server_dtelecom`). Start with `source` to follow a join, with
`server_app` to follow an issued token.
"""
