"""Networking shared by the page and the token server, and the network monitor.

`http_limits` has every limit on clients, and reads request bodies within them;
`http_server` is uvicorn with these limits, `http_protocol` closes connections with
malformed input, `rate_limit` counts requests and `host_check` refuses foreign `Host`
headers. `listen` opens the listening socket, and `url` checks addresses from the
configuration. `monitor` reports the address of this machine, which `netlink` reads from
the kernel. Start with `http_server`.
"""
