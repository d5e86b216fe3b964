"""Networking shared by several parts, and the network monitor.

`http_server` is uvicorn with limits on clients, `http_protocol` has these limits and
closes connections with malformed input, and `host_check` refuses foreign `Host`
headers. `rate_limit` limits how often a client may do something, also a participant who
floods the room's chat.
`listen` opens the listening socket, and `url` checks addresses from the configuration.
`http_client` has the certificates that clients trust, and bounded requests.
`network_monitor` posts the address of this machine and its changes. Start with
`http_server`.
"""
