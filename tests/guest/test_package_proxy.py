"""The guest's package proxy."""

from tests.guest.package_proxy import direct_request


def test_a_request_to_a_proxy_becomes_one_to_its_server():
    asked = (
        "GET http://mirror.example/a/b?c=d HTTP/1.1\r\nHost: mirror.example\r\n"
        "Proxy-Connection: keep-alive\r\nConnection: keep-alive\r\n\r\n"
    )
    assert direct_request(asked) == (
        "GET /a/b?c=d HTTP/1.1\r\nHost: mirror.example\r\nConnection: close\r\n\r\n"
    )


def test_the_root_of_a_server_has_a_path():
    asked = "HEAD http://mirror.example HTTP/1.1\r\n\r\n"
    assert direct_request(asked).startswith("HEAD / HTTP/1.1\r\n")
