"""The command `ptt-appliance token-server`: a small token source for LiveKit rooms.

`command` starts the HTTP server. `config` has the keys of the configuration, and reads
and checks them. `application` has the endpoints: for each request `access` finds out
who asks, `request` what for, and `signing` makes the token (for rooms of dTelecom's
network: `dtelecom`). Start with `application` to follow an issued token.
"""
