"""The bytes that bodies are made of: the same as in `suite/support/mod.rs` and `pattern.mjs`.

They repeat only every 65,521 bytes, a prime, so that a block that is lost, doubled or shifted shows in the sum.
"""

import hashlib

BLOCK = bytes((i * i * 31 + i * 7 + (i >> 3)) & 255 for i in range(65_521))


def parts(length, start=0):
    """Yields the bytes from `start` to `length`, in parts of at most one block."""
    while start < length:
        at = start % len(BLOCK)
        part = BLOCK[at : at + length - start]
        start += len(part)
        yield part


def digest(length):
    """The sha256, in hexadecimal, of the first `length` bytes."""
    sha = hashlib.sha256()
    for part in parts(length):
        sha.update(part)
    return sha.hexdigest()
