"""Client of the token source: fetches an access token for each session.

`source` executes the core's `FetchToken` and `DropToken`: it builds a request and posts
the event, `client` sends the request and names what failed, `response` reads the
response, and `claims` the token in it. BACKENDS.md lists the configuration for each
known token source. Start with `source`. The token source of this package is in
`appliance.token_server`.
"""
