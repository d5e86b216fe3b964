"""Client of the token source: fetches an access token for each session.

`adapter` executes the core's `FetchToken`: it builds a request and posts the event,
`client` sends the request and says in a sentence why it failed, `token_parser` reads
the response and the token in it. BACKENDS.md lists the configuration for each known
token source. Start with `adapter`. Our own token source is `appliance.token_server`.
"""
