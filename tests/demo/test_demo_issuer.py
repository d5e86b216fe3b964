import httpx
import jwt

from appliance.demo.issuer import Issuer

SECRET = "s" * 40


def client():
    return httpx.AsyncClient(trust_env=False)


async def test_a_token_for_the_demos_room_is_issued_over_http():
    async with Issuer("ws://127.0.0.1:7880", "key", SECRET) as issuer, client() as web:
        answer = await web.post(issuer.url, json={"participant_identity": "box"})
        assert answer.status_code == 201
        values = answer.json()
        assert values["server_url"] == "ws://127.0.0.1:7880"
        claims = jwt.decode(values["participant_token"], SECRET, ["HS256"])
        assert (claims["sub"], claims["video"]["room"]) == ("box", "demo")
        refused = await web.post(issuer.url, json={"room_name": "elsewhere"})
        assert refused.status_code == 403


async def test_the_port_is_closed_afterwards():
    async with Issuer("ws://127.0.0.1:7880", "key", SECRET) as issuer:
        pass
    async with client() as web:
        try:
            await web.get(issuer.url)
        except httpx.TransportError:
            return
    raise AssertionError
