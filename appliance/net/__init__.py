"""Networking shared by the page and the token server, and the network monitor.

`http_server` is uvicorn with limits: `acceptor` bounds connections, `http_protocol`
closes connections with malformed input, `rate_limit` counts requests, `http_body`
bounds request bodies and `host_check` refuses foreign `Host` headers. `listen` opens
the listening socket, and `url` checks addresses from the configuration. `monitor`
reports the address of this machine, which `netlink` reads from the kernel. Start with
`http_server`.
"""
