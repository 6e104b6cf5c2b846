"""How much of a tensor is worked on at a time."""

CHUNK_ELEMENTS = 2**20
"""Temporaries, of an update, a sum or a test, are made for at most this many elements at a time."""
