//! Request ids: 128 bits that tell one request from all others, made without a lock or a system call.
//!
//! They are unique, not secret: whoever sees a few can guess the next. 64 bits would not do: a
//! billion requests a day collide with each other in one day of forty.

use std::cell::Cell;
use std::fmt;

/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

/// Odd, so that multiples of it modulo 2^64 repeat only after 2^64 steps; the golden ratio, so that
/// neighbours are far apart (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// One request's id. `Display` writes 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

impl RequestId {
    /// The 32 digits, as ASCII.
    pub fn hex(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 { b'0' } else { b'a' - 10 } + nibble;
            }
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One worker's source of ids.
#[derive(Debug)]
pub struct RequestIds {
    prefix: u64,
    next: Cell<u64>,
}

impl RequestIds {
    /// A source whose ids begin with `seed`. Seeds come from the host's randomness and differ from
    /// worker to worker and start to start: they alone keep two sources apart.
    pub fn new(seed: u64) -> Self {
        Self {
            prefix: seed,
            next: Cell::new(seed.rotate_left(32)),
        }
    }

    /// The next id; this source repeats none before it has made 2^64.
    pub fn next(&self) -> RequestId {
        let step = self.next.get().wrapping_add(STEP);
        self.next.set(step);
        RequestId(u128::from(self.prefix) << 64 | u128::from(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_one_source_and_of_two_differ() {
        let (first, second) = (RequestIds::new(1), RequestIds::new(2));
        let ids: HashSet<_> = (0..10_000)
            .flat_map(|_| [first.next(), second.next()])
            .collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn an_id_has_32_lower_case_digits_whichever_way_it_is_written() {
        for id in [
            RequestId(0),
            RequestId(u128::MAX),
            RequestIds::new(7).next(),
        ] {
            assert_eq!(id.to_string().as_bytes(), id.hex());
            assert_eq!(id.to_string().len(), DIGITS);
        }
        assert_eq!(
            RequestId(0x0123_4567_89ab_cdef).to_string(),
            "00000000000000000123456789abcdef"
        );
    }
}
