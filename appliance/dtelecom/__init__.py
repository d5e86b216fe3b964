"""dTelecom: rooms on a decentralised network of servers made from LiveKit 1.4.

Each server is called a node. Two adapters use this folder and import it only when a
room or a configuration is of this kind. For the token server, `tokens` signs tokens
with Ed25519, whose keys are texts in base58, and `node_registry` lists the network's
nodes and chooses one. For the room adapter, `relay` stands between the SDK and a node:
it passes the WebSocket that sets up a call on and drops from it what LiveKit's SDK
cannot parse. Start with `relay` to follow a join, with `tokens` to follow an issued
token.
"""
