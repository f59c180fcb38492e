//! Any bytes as a chunked body. How they were cut on arrival must not matter, and what was taken
//! apart must come out the same when put together and taken apart again.

#![no_main]

use lasthop_http1::chunked::{self, Decoder, Event};
use lasthop_http1::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else {
        return;
    };
    let at_once = decode(bytes, usize::MAX);
    let in_pieces = decode(bytes, usize::from(piece).max(1));
    assert_eq!(at_once, in_pieces);
    let Outcome::Whole { data, trailers, .. } = at_once else {
        return;
    };

    let mut encoded = Vec::new();
    if !data.is_empty() {
        chunked::write_size(&mut encoded, data.len() as u64);
        encoded.extend_from_slice(&data);
        encoded.extend_from_slice(chunked::CRLF);
    }
    chunked::write_end(&mut encoded, &trailers);
    // Passing trailers on writes a space behind each colon, which may push a full section over its
    // bound.
    if trailers.len() + TRAILER_FIELDS_MAX > TRAILER_BYTES_MAX {
        return;
    }
    let Outcome::Whole {
        data: again,
        length,
        ..
    } = decode(&encoded, usize::MAX)
    else {
        panic!("what is written is accepted");
    };
    assert_eq!((again, length), (data, encoded.len()));
});

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Malformed,
    NotWhole,
    Whole {
        data: Vec<u8>,
        trailers: Vec<u8>,
        length: usize,
    },
}

/// Decodes bytes that come `piece` at a time.
fn decode(bytes: &[u8], piece: usize) -> Outcome {
    let mut decoder = Decoder::default();
    let (mut at, mut there) = (0, 0);
    let mut data = Vec::new();
    loop {
        let input = &bytes[at..there];
        let Ok(step) = decoder.decode(input) else {
            return Outcome::Malformed;
        };
        assert!(step.consumed <= input.len());
        at += step.consumed;
        match step.event {
            Event::Data(range) => {
                assert!(!range.is_empty() && range.end == step.consumed);
                data.extend_from_slice(&input[range]);
            }
            Event::End { trailers } => {
                assert!(decoder.is_at_end());
                return Outcome::Whole {
                    data,
                    trailers: input[trailers].to_vec(),
                    length: at,
                };
            }
            Event::NeedMore if there == bytes.len() => return Outcome::NotWhole,
            Event::NeedMore => {
                assert!(
                    there - at <= TRAILER_BYTES_MAX,
                    "more is left over than callers have room for"
                );
                there = there.saturating_add(piece).min(bytes.len());
            }
        }
    }
}
