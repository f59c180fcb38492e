//! What holds for any bytes at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod common;

use common::{STRANGER, TRUSTED, accepted, with_request, with_response};
use lasthop_http1::Version;
use lasthop_http1::chunked::{self, Decoder, Event};
use lasthop_http1::fields::{FieldStorage, Kind};
use lasthop_http1::forwarding::Forwarding;
use lasthop_http1::limits::HeadLimits;
use lasthop_http1::request::{self, RequestBody, RequestHead};
use lasthop_http1::response::{self, Delivery, RequestKind};
use lasthop_http1::scan::HeadScan;
use lasthop_http1::upgrade;
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces that heads are made of, valid and not: random bytes alone would hardly ever get past the
/// first line.
const PIECES: &[&str] = &[
    "GET ",
    "POST ",
    "OPTIONS ",
    "CONNECT ",
    "/ ",
    "* ",
    "/a?b#c ",
    "http://u@x/ ",
    "http://x:8/p ",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 101 S",
    "HTTP/1.1 204 N",
    "HTTP/2.0",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ": ",
    ",",
    "Host: a\r\n",
    "Host: b\r\n",
    "Host",
    "Content-Length: 3\r\n",
    "Content-Length",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding",
    "Connection: ",
    "close",
    "upgrade",
    "Upgrade: websocket\r\n",
    "X-Forwarded-For: 1\r\n",
    "X_Forwarded_For: 1\r\n",
    "Content_Length: 1\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "Via: x\r\n",
    "\u{e9}",
    "x",
    "3",
];

/// Bytes that look like heads.
fn headlike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    let start =
        prop::sample::select(&["", "GET / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\n"][..]);
    (start, vec(piece, 0..24)).prop_map(|(start, pieces)| {
        [
            start.as_bytes().to_vec(),
            pieces.concat(),
            b"\r\n\r\n".to_vec(),
        ]
        .concat()
    })
}

/// A field that may stand in any request: name and value.
fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,12}",
        prop::sample::select(
            &[
                "X-Forwarded-For",
                "Via",
                "Forwarded",
                "X-Real-IP",
                "X_Real_IP",
                "TE",
                "Keep-Alive",
                "Upgrade"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    (name, "[ -~\t\u{e9}]{0,20}").prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

/// A request that is accepted, with whatever fields and options of Connection.
fn valid_request() -> impl Strategy<Value = Vec<u8>> {
    let target = "(/[!-\"$-~]{0,20}|http://[a-z.]{1,9}(:80)?(/[a-z?]{0,5})?)";
    let framing = prop::sample::select(
        &[
            "",
            "Content-Length: 12\r\n",
            "Transfer-Encoding: chunked\r\n",
        ][..],
    );
    let options = vec(
        "(close|upgrade|te|host|content-length|transfer-encoding|x-forwarded-for|via|[a-z-]{1,6})",
        0..6,
    );
    ("(GET|POST|HEAD|x-y)", target, framing, options, vec(field(), 0..12)).prop_filter_map(
        "fields that change the framing are another test",
        |(method, target, framing, options, fields)| {
            let fields = fields.concat();
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: h.test\r\n{framing}Connection: {}\r\n{fields}\r\n",
                options.join(", ")
            );
            let is_accepted = with_request(head.as_bytes(), |_| ())?.is_ok();
            is_accepted.then(|| head.into_bytes())
        },
    )
}

/// All that a request says to the app, once written.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    method: String,
    path: String,
    authority: Option<String>,
    body: RequestBody,
    protocols: Vec<String>,
    fields: Vec<(String, Vec<u8>)>,
}

fn meaning(head: &RequestHead<'_, '_>) -> Meaning {
    let is_end_to_end = |kind: Kind| kind == Kind::Other || kind == Kind::ContentType;
    let fields = head
        .fields()
        .iter()
        .filter(|field| is_end_to_end(field.kind));
    Meaning {
        method: head.method.to_owned(),
        path: head.path().to_owned(),
        authority: head.authority().map(str::to_owned),
        body: head.body,
        protocols: head
            .upgrade
            .map(|offered| upgrade::protocols(offered).map(str::to_owned).collect())
            .unwrap_or_default(),
        fields: fields
            .map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect(),
    }
}

fn written(bytes: &[u8], forwarding: &Forwarding<'_>) -> Vec<u8> {
    accepted(bytes, |head| {
        let mut out = Vec::new();
        request::write(&mut out, head, forwarding);
        out
    })
}

/// The outcome of scanning bytes that come in pieces of these sizes: the length of the head, or
/// whether it was refused.
fn scan_in_pieces(bytes: &[u8], sizes: &[usize], mut scan: HeadScan) -> Result<Option<usize>, ()> {
    let mut there = 0;
    for &size in sizes.iter().cycle() {
        there = (there + size).min(bytes.len());
        match scan.scan(&bytes[..there]) {
            Ok(None) if there < bytes.len() => {}
            outcome => return outcome.map_err(|_| ()),
        }
    }
    Ok(None)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop_oneof![headlike(), vec(any::<u8>(), 0..200)]) {
        let _ = with_request(&bytes, |head| {
            for forwarding in [&STRANGER, &TRUSTED] {
                request::write(&mut Vec::new(), head, forwarding);
            }
        });
        for request in [RequestKind { is_head: true, upgrade: None }, RequestKind { is_head: false, upgrade: Some("websocket") }] {
            let _ = with_response(&bytes, request, |head| {
                for client in [Version::Http10, Version::Http11] {
                    response::write(&mut Vec::new(), head, &Delivery::of(head, client, true));
                }
            });
        }
        let _ = request::parse(&bytes, &mut FieldStorage::default(), &HeadLimits::default());
        let _ = Decoder::default().decode(&bytes);
        lasthop_http1::trailers::write(&mut Vec::new(), &bytes);
    }

    #[test]
    fn what_is_accepted_holds_no_control_in_any_field(bytes in headlike()) {
        let clean = |name: &str, value: &[u8]| {
            !name.is_empty() && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        };
        if let Some(Ok(fields_are_clean)) = with_request(&bytes, |head| head.fields().iter().all(|f| clean(f.name, f.value))) {
            prop_assert!(fields_are_clean);
        }
        if let Some(Ok(fields_are_clean)) = with_response(&bytes, RequestKind::default(), |head| head.fields().iter().all(|f| clean(f.name, f.value))) {
            prop_assert!(fields_are_clean);
        }
    }

    #[test]
    fn bytes_that_come_in_pieces_mean_what_they_mean_at_once(bytes in headlike(), sizes in vec(1usize..40, 1..8)) {
        let verdict = |length: Option<usize>| length.map(|length| {
            request::parse(&bytes[..length], &mut FieldStorage::default(), &HeadLimits::default()).map(|_| length).map_err(|_| ())
        });
        let at_once = scan_in_pieces(&bytes, &[bytes.len()], HeadScan::request()).map(verdict);
        let in_pieces = scan_in_pieces(&bytes, &sizes, HeadScan::request()).map(verdict);
        let accepted = |outcome: Result<Option<Result<usize, ()>>, ()>| outcome.unwrap_or(Some(Err(())));
        prop_assert_eq!(accepted(at_once), accepted(in_pieces));

        let verdict = |length: Option<usize>| length.map(|length| {
            response::parse(&bytes[..length], &mut FieldStorage::default(), RequestKind::default(), &HeadLimits::default()).map(|_| length).map_err(|_| ())
        });
        let at_once = scan_in_pieces(&bytes, &[bytes.len()], HeadScan::response()).map(verdict);
        let in_pieces = scan_in_pieces(&bytes, &sizes, HeadScan::response()).map(verdict);
        prop_assert_eq!(accepted(at_once), accepted(in_pieces));
    }

    #[test]
    fn a_body_taken_apart_in_any_pieces_is_the_one_put_together(
        chunks in vec(vec(any::<u8>(), 1..40), 0..8),
        has_trailers in any::<bool>(),
        sizes in vec(1usize..40, 1..8),
    ) {
        let trailers: &[u8] = if has_trailers { b"X-Sum: 1\r\n\r\n" } else { b"" };
        let mut encoded = Vec::new();
        for chunk in &chunks {
            chunked::write_size(&mut encoded, chunk.len() as u64);
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(chunked::CRLF);
        }
        chunked::write_end(&mut encoded, trailers);
        let length = encoded.len();
        encoded.extend_from_slice(b"behind it");

        let mut decoder = Decoder::default();
        let (mut at, mut there, mut data) = (0, 0, Vec::new());
        let mut sizes = sizes.iter().cycle();
        let section = loop {
            let input = &encoded[at..there];
            let step = decoder.decode(input).unwrap();
            at += step.consumed;
            match step.event {
                Event::Data(range) => data.extend_from_slice(&input[range]),
                Event::End { trailers } => break input[trailers].to_vec(),
                Event::NeedMore => {
                    prop_assert!(there < length, "the whole body is there");
                    there = (there + sizes.next().unwrap()).min(encoded.len());
                }
            }
        };
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(section, trailers);
        prop_assert_eq!(at, length);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    #[test]
    fn what_is_written_says_what_was_read_and_writing_it_again_changes_nothing(bytes in valid_request(), trusted in any::<bool>()) {
        // A trusted hop that adds nothing: the second writing must be the identity.
        let first_hop = Forwarding { trusted, ..STRANGER };
        let second_hop = Forwarding { peer_ip: None, via: false, ..TRUSTED };
        let first = written(&bytes, &first_hop);
        let second = written(&first, &second_hop);
        let third = written(&second, &second_hop);
        prop_assert_eq!(second.escape_ascii().to_string(), third.escape_ascii().to_string());

        let before = accepted(&bytes, meaning);
        let after = accepted(&first, meaning);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn connection_never_removes_host_framing_or_forwarding(bytes in valid_request()) {
        let out = String::from_utf8_lossy(&written(&bytes, &STRANGER)).into_owned();
        let count = |name: &str| out.split("\r\n").filter(|line| line.starts_with(name)).count();
        prop_assert_eq!(count("Host: "), 1);
        prop_assert_eq!(count("X-Forwarded-For: 192.0.2.7"), 1);
        prop_assert_eq!(count("Via: 1.1 lasthop"), 1);
        let framing = match accepted(&bytes, |head| head.body) {
            RequestBody::None => (0, 0),
            RequestBody::Sized(_) => (1, 0),
            RequestBody::Chunked => (0, 1),
        };
        prop_assert_eq!((count("Content-Length: "), count("Transfer-Encoding: chunked")), framing);
    }
}
