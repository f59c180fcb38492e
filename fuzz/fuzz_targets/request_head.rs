//! Any bytes as a request. What is accepted must be written in a form that is accepted again, says
//! the same, and holds nothing that two recipients could read differently; how the bytes were cut
//! on arrival must not matter.

#![no_main]

use lasthop_http1::fields::{FieldStorage, Kind};
use lasthop_http1::forwarding::Forwarding;
use lasthop_http1::limits::{FIELDS_MAX, HeadLimits};
use lasthop_http1::request::{self, RequestBody, RequestHead};
use lasthop_http1::scan::HeadScan;
use libfuzzer_sys::fuzz_target;

const STRANGER: Forwarding<'static> = Forwarding {
    peer_ip: Some("2001:db8::1"),
    proto: "https",
    trusted: false,
    via: true,
    forwarded: true,
    request_id: None,
    host_fallback: "fallback.test",
};

/// A trusted hop that has nothing to add: writing what it got changes nothing.
const TRANSPARENT: Forwarding<'static> = Forwarding {
    peer_ip: None,
    trusted: true,
    via: false,
    forwarded: false,
    ..STRANGER
};

/// Room for the fields a hop adds: 100 fields in, and at most eight more out.
const NEXT_HOP: HeadLimits = HeadLimits {
    bytes_max: usize::MAX,
    fields_max: FIELDS_MAX,
    target_bytes_max: usize::MAX,
};

fuzz_target!(|bytes: &[u8]| {
    let in_pieces = scan_byte_by_byte(bytes);
    // The parser alone, past the scan that should come first.
    let alone = request::parse(bytes, &mut FieldStorage::default(), &HeadLimits::default()).is_ok();
    let Ok(Some(length)) = HeadScan::request().scan(bytes) else {
        assert!(
            !alone && in_pieces.is_none(),
            "accepted what the scan refuses"
        );
        return;
    };
    assert!(
        !alone || length == bytes.len(),
        "accepted more than the head"
    );
    let Some(first) = rewrite(&bytes[..length], &STRANGER, &HeadLimits::default()) else {
        return;
    };
    assert_eq!(
        in_pieces,
        Some(length),
        "byte by byte the outcome is another"
    );

    let second = rewrite(&first, &TRANSPARENT, &NEXT_HOP).expect("what is written is accepted");
    let third = rewrite(&second, &TRANSPARENT, &NEXT_HOP).expect("and what is written again");
    assert_eq!(second, third, "the written form is a fixed point");
    check_form(&first);
});

/// The length of the head when one byte comes at a time.
fn scan_byte_by_byte(bytes: &[u8]) -> Option<usize> {
    let mut scan = HeadScan::request();
    (1..=bytes.len())
        .find_map(|there| scan.scan(&bytes[..there]).transpose())?
        .ok()
}

/// What the app gets, if the request is accepted.
fn rewrite(head: &[u8], forwarding: &Forwarding<'_>, limits: &HeadLimits) -> Option<Vec<u8>> {
    let mut storage = FieldStorage::default();
    let head = request::parse(head, &mut storage, limits).ok()?;
    let mut out = Vec::new();
    request::write(&mut out, &head, forwarding);
    same_meaning(&head, &out);
    Some(out)
}

/// The written head is accepted, and means what the received one meant.
fn same_meaning(head: &RequestHead<'_, '_>, written: &[u8]) {
    let mut storage = FieldStorage::default();
    let again =
        request::parse(written, &mut storage, &NEXT_HOP).expect("what is written is accepted");
    assert_eq!(head.method, again.method);
    assert_eq!(head.path(), again.path());
    assert_eq!(head.body, again.body);
    assert_eq!(
        head.authority().unwrap_or(STRANGER.host_fallback),
        again.authority().expect("a Host is written")
    );
    assert_eq!(head.upgrade.is_some(), again.upgrade.is_some());
    assert_eq!(head.expects_continue, again.expects_continue);
    let others = |head: &RequestHead<'_, '_>| {
        let kept = head
            .fields()
            .iter()
            .filter(|field| field.kind == Kind::Other);
        kept.map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(others(head), others(&again));
}

/// No line end but CRLF, no control, one Host, one framing, no name with two readings.
fn check_form(written: &[u8]) {
    let mut storage = FieldStorage::default();
    let head = request::parse(written, &mut storage, &NEXT_HOP).expect("accepted before");
    let count = |kind: Kind| {
        head.fields()
            .iter()
            .filter(|field| field.kind == kind)
            .count()
    };
    let framing = (count(Kind::ContentLength), count(Kind::TransferEncoding));
    let expected = match head.body {
        RequestBody::None => (0, 0),
        RequestBody::Sized(_) => (1, 0),
        RequestBody::Chunked => (0, 1),
    };
    assert_eq!(framing, expected);
    assert_eq!(count(Kind::Host), 1);
    for gone in [
        Kind::Shadow,
        Kind::FramingShadow,
        Kind::HopByHop,
        Kind::KeepAlive,
        Kind::Nominated,
        Kind::XForwardedOther,
    ] {
        assert_eq!(count(gone), 0, "{gone:?}");
    }
    for single in [
        Kind::XForwardedFor,
        Kind::XForwardedHost,
        Kind::XForwardedProto,
        Kind::XRealIp,
        Kind::Forwarded,
        Kind::Via,
    ] {
        assert_eq!(count(single), 1, "{single:?}");
    }
    for (index, &byte) in written.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(written.get(index + 1), Some(&b'\n')),
            b'\n' => assert_eq!(written[index - 1], b'\r'),
            b'\t' => {}
            _ => assert!(byte >= b' ' && byte != 0x7f, "a control is passed on"),
        }
    }
}
