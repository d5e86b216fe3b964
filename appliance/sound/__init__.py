"""The sound road: one sound card, blocks of 10 ms, no event loop in between."""
