"""The command `ptt-appliance token-server`: a small token source for LiveKit rooms.

`server` starts the HTTP server and has its endpoints. For each request `access` finds
out who asks, `request` what for, and `signing` makes the token, for a LiveKit server or
a node of dTelecom's network. `config` reads and checks the configuration. Start with
`server` to follow an issued token.
"""
