"""dTelecom: rooms on a decentralised network of servers made from LiveKit 1.4.

Shared like `net`: the room adapter and the token server use it, each a part, and import
it only when a room or a configuration is of this kind. For the token server, `tokens`
signs tokens with Ed25519, whose keys are texts in `base58`, `registry` lists the
network's nodes and `nodes` chooses one. For the room adapter, `relay` passes the
signalling connection on to a node (`connections`) and drops from it what LiveKit's SDK
cannot parse (`signal_filter`). Start with `relay` to follow a join, with `tokens` to
follow an issued token.
"""
