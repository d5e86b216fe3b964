"""Networking shared by several parts, and the network monitor.

`http_server` is uvicorn with limits on clients; it closes connections with malformed
input. `rate_limit` limits how often a client may do something, also a participant who
floods the room's chat. `host_check` refuses foreign `Host` headers.
`server_address` opens listening sockets and has the page's URL; `url` checks addresses
from the configuration.
`http_client` has the certificates that clients trust, and bounded requests.
`network_monitor` posts the address of this machine and its changes. Start with
`http_server`.
"""
