// The bytes that bodies are made of: the same as in `suite/support/mod.rs` and `pattern.py`.
//
// They repeat only every 65,521 bytes, a prime, so that a block that is lost, doubled or shifted shows in the sum.

import { createHash } from 'node:crypto';

const BLOCK = Buffer.from(Array.from({ length: 65521 }, (_, i) => (i * i * 31 + i * 7 + (i >> 3)) & 255));

// Yields the bytes from `start` to `length`, in parts of at most one block.
export function* parts(length, start = 0) {
  while (start < length) {
    const at = start % BLOCK.length;
    const part = BLOCK.subarray(at, Math.min(BLOCK.length, at + length - start));
    start += part.length;
    yield part;
  }
}

// The sha256, in hexadecimal, of the first `length` bytes.
export function digest(length) {
  const sha = createHash('sha256');
  for (const part of parts(length)) sha.update(part);
  return sha.digest('hex');
}
