//! Chunked bodies: what is malformed, where a body ends, and which trailers pass.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use lasthop_http1::chunked::{self, Decoder, Event, LAST_CHUNK};
use lasthop_http1::limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX,
};
use lasthop_http1::refusal::Malformed;
use lasthop_http1::trailers;

/// A body taken apart: its data, its trailer section, and how many bytes of input it took. `None`
/// if it is not whole.
type Body = Option<(Vec<u8>, Vec<u8>, usize)>;

fn decode(input: &[u8]) -> Result<Body, Malformed> {
    let mut decoder = Decoder::default();
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let rest = &input[at..];
        let step = decoder.decode(rest)?;
        at += step.consumed;
        match step.event {
            Event::Data(range) => data.extend_from_slice(&rest[range]),
            Event::End { trailers } => return Ok(Some((data, rest[trailers].to_vec(), at))),
            Event::NeedMore => return Ok(None),
        }
    }
}

#[test]
fn chunks_that_two_recipients_read_differently_are_malformed() {
    // RFC 9112 section 7.1 and, for extensions, 7.1.1.
    for body in [
        "\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t;x\r\nabc\r\n0\r\n\r\n",
        "3 ;x\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3h\r\nabc\r\n0\r\n\r\n",
        "g\r\n",
        ";x\r\n",
        "3,3\r\nabc\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "00000000000000003\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\rx0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3;a\n\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;a\0b\r\nabc\r\n0\r\n\r\n",
        "3;a\x7fb\r\nabc\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA: b\0\r\n\r\n",
        "0\r\nA: \x01\r\n\r\n",
        "0\r\nA(: b\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let outcome = decode(body.as_bytes());
        assert!(outcome.is_err(), "{body:?}: {outcome:?}");
    }
}

#[test]
fn a_body_ends_where_it_says_and_not_a_byte_later() {
    for (body, data, trailers) in [
        ("0\r\n\r\n", "", ""),
        ("000\r\n\r\n", "", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
        (
            "3\r\nabc\r\n00A;name=\"va,lue\" ;\tx\u{e9}\r\n0123456789\r\n0;end\r\n\r\n",
            "abc0123456789",
            "",
        ),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        (
            "1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
            "a",
            "X-Sum: 1\r\nY:\r\n\r\n",
        ),
        ("0000000000000003\r\nabc\r\n0\r\n\r\n", "abc", ""),
    ] {
        let input = format!("{body}GET / HTTP/1.1\r\n");
        let expected = (
            data.as_bytes().to_vec(),
            trailers.as_bytes().to_vec(),
            body.len(),
        );
        assert_eq!(decode(input.as_bytes()), Ok(Some(expected)), "{body:?}");
        for cut in 0..body.len() {
            assert_eq!(
                decode(&body.as_bytes()[..cut]),
                Ok(None),
                "{body:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn the_largest_size_is_taken_and_counted_down() {
    let mut decoder = Decoder::default();
    let step = decoder.decode(b"FFFFFFFFFFFFFFFF\r\nab").unwrap();
    assert_eq!((step.consumed, step.event), (20, Event::Data(18..20)));
    assert_eq!(decoder.decode(b"c").unwrap().event, Event::Data(0..1));
    assert!(!decoder.is_at_end());
}

#[test]
fn a_decoder_at_its_end_stays_there() {
    let mut decoder = Decoder::default();
    decoder.decode(LAST_CHUNK).unwrap();
    assert!(decoder.is_at_end());
    let step = decoder.decode(b"5\r\nhello\r\n").unwrap();
    assert_eq!(
        (step.consumed, step.event),
        (0, Event::End { trailers: 0..0 })
    );
}

#[test]
fn size_lines_are_bounded_before_they_are_whole() {
    let fits = format!(
        "1;{}\r\na\r\n0\r\n\r\n",
        "x".repeat(CHUNK_LINE_BYTES_MAX - 4)
    );
    assert!(decode(fits.as_bytes()).unwrap().is_some());
    let too_long = format!(
        "1;{}\r\na\r\n0\r\n\r\n",
        "x".repeat(CHUNK_LINE_BYTES_MAX - 3)
    );
    assert!(decode(too_long.as_bytes()).is_err());
    assert!(
        decode(&too_long.as_bytes()[..CHUNK_LINE_BYTES_MAX - 1])
            .unwrap()
            .is_none()
    );
    assert!(decode(&too_long.as_bytes()[..CHUNK_LINE_BYTES_MAX]).is_err());
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(127));
    let chunks_max = CHUNK_EXTENSION_BYTES_MAX as usize / 128;
    let body = |chunks: usize| format!("{}0\r\n\r\n", chunk.repeat(chunks));
    assert!(decode(body(chunks_max).as_bytes()).unwrap().is_some());
    assert!(decode(body(chunks_max + 1).as_bytes()).is_err());
}

#[test]
fn trailer_sections_are_bounded_before_they_are_whole() {
    let body = |length: usize| format!("0\r\nA: {}\r\n\r\n", "x".repeat(length));
    let fits = TRAILER_BYTES_MAX - "A: \r\n\r\n".len();
    assert!(decode(body(fits).as_bytes()).unwrap().is_some());
    assert!(decode(body(fits + 1).as_bytes()).is_err());
    assert!(
        decode(body(2 * fits).as_bytes()[..TRAILER_BYTES_MAX + 3].as_ref())
            .unwrap()
            .is_none()
    );
    assert!(decode(body(2 * fits).as_bytes()[..TRAILER_BYTES_MAX + 4].as_ref()).is_err());

    let many = |fields: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(fields));
    assert!(
        decode(many(TRAILER_FIELDS_MAX).as_bytes())
            .unwrap()
            .is_some()
    );
    assert!(decode(many(TRAILER_FIELDS_MAX + 1).as_bytes()).is_err());
}

#[test]
fn trailers_pass_but_those_that_would_change_the_head() {
    // RFC 9110 section 6.5.1.
    let section = b"X-Sum:  1 \r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: a\r\nTrailer: x\r\nTE: x\r\n\
        Content-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\nAuthorization: x\r\nSet-Cookie: x\r\nCookie: x\r\n\
        Cache-Control: x\r\nIf-Match: x\r\nX-Forwarded-For: x\r\nX_Forwarded_For: x\r\nX-Real-IP: x\r\nForwarded: x\r\n\
        Via: x\r\nConnection: x\r\nUpgrade: x\r\nExpect: x\r\nIF_MATCH: x\r\nAge: x\r\nDate: x\r\ngrpc-status: 0\r\n\
        ETag: \"t\"\r\nContent_Length: 3\r\n\r\n";
    trailers::check(section).unwrap();
    let mut out = Vec::new();
    chunked::write_end(&mut out, section);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "0\r\nX-Sum: 1\r\ngrpc-status: 0\r\nETag: \"t\"\r\n\r\n"
    );
}

#[test]
fn a_section_is_checked_also_where_no_decoder_has_seen_it() {
    for section in [
        "A: b\n\r\n",
        "A: b\r\n\n",
        "A: b\r\n",
        "A: b\r\n\r\nC: d\r\n",
        "\r\n\r\n",
    ] {
        assert!(trailers::check(section.as_bytes()).is_err(), "{section:?}");
        let mut out = Vec::new();
        trailers::write(&mut out, section.as_bytes());
        assert!(out.is_empty(), "{section:?}");
    }
}

#[test]
fn an_end_without_trailers_is_the_last_chunk() {
    let mut out = Vec::new();
    chunked::write_end(&mut out, b"");
    assert_eq!(out, LAST_CHUNK);
}

#[test]
fn sizes_are_written_in_hexadecimal_without_leading_zeros() {
    for (size, line) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (65_536, "10000\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = Vec::new();
        chunked::write_size(&mut out, size);
        assert_eq!(out, line.as_bytes());
        assert_eq!(chunked::chunk_prefix(size).as_ref(), line.as_bytes());
    }
}
