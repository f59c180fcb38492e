//! Any bytes as an answer. What is accepted must be written in a form that is accepted again and
//! says the same, to clients of either version.

#![no_main]

use lasthop_http1::Version;
use lasthop_http1::fields::{FieldStorage, Kind};
use lasthop_http1::limits::{FIELDS_MAX, HeadLimits};
use lasthop_http1::response::{
    self, ConnectionField, Delivery, Framing, RequestKind, ResponseBody, ResponseHead,
};
use lasthop_http1::scan::HeadScan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else {
        return;
    };
    let request = RequestKind {
        is_head: choice & 1 == 1,
        upgrade: (choice & 2 == 2).then_some("websocket, a/1"),
    };
    let alone = response::parse(
        bytes,
        &mut FieldStorage::default(),
        request,
        &HeadLimits::default(),
    )
    .is_ok();
    let Ok(Some(length)) = HeadScan::response().scan(bytes) else {
        assert!(!alone, "accepted what the scan refuses");
        return;
    };
    assert!(
        !alone || length == bytes.len(),
        "accepted more than the head"
    );
    let mut storage = FieldStorage::default();
    let Ok(head) = response::parse(
        &bytes[..length],
        &mut storage,
        request,
        &HeadLimits::default(),
    ) else {
        return;
    };
    assert_eq!(
        scan_byte_by_byte(bytes),
        Some(length),
        "byte by byte the outcome is another"
    );
    assert_eq!(head.is_switching() || head.is_interim(), head.status < 200);
    for client in [Version::Http10, Version::Http11] {
        for keep_alive in [false, true] {
            check_delivery(&head, request, client, keep_alive);
        }
    }
});

/// The length of the head when one byte comes at a time.
fn scan_byte_by_byte(bytes: &[u8]) -> Option<usize> {
    let mut scan = HeadScan::response();
    (1..=bytes.len())
        .find_map(|there| scan.scan(&bytes[..there]).transpose())?
        .ok()
}

/// What is written reads as what was meant.
fn check_delivery(
    head: &ResponseHead<'_, '_>,
    request: RequestKind<'_>,
    client: Version,
    keep_alive: bool,
) {
    let delivery = Delivery {
        date: Some("Sat, 01 Jun 2024 12:00:00 GMT"),
        ..Delivery::of(head, client, keep_alive)
    };
    let mut out = Vec::new();
    response::write(&mut out, head, &delivery);
    let mut storage = FieldStorage::default();
    let limits = HeadLimits {
        bytes_max: usize::MAX,
        fields_max: FIELDS_MAX,
        target_bytes_max: 0,
    };
    let again =
        response::parse(&out, &mut storage, request, &limits).expect("what is written is accepted");
    assert_eq!((head.status, head.reason), (again.status, again.reason));
    let expected = match delivery.framing {
        Framing::None | Framing::Metadata => ResponseBody::None,
        Framing::ContentLength(length) => ResponseBody::Sized(length),
        Framing::Chunked => ResponseBody::Chunked,
        Framing::UntilClose => ResponseBody::UntilClose,
    };
    assert_eq!(again.body, expected);
    if client == Version::Http10 {
        assert_ne!(
            delivery.framing,
            Framing::Chunked,
            "HTTP/1.0 knows no chunks"
        );
    }
    let closes = delivery.connection == ConnectionField::Close;
    let count = |kind: Kind| {
        again
            .fields()
            .iter()
            .filter(|field| field.kind == kind)
            .count()
    };
    assert_eq!(
        again.keep_alive, !closes,
        "the client knows whether the connection persists"
    );
    assert_eq!(
        count(Kind::Date),
        head.fields()
            .iter()
            .filter(|field| field.kind == Kind::Date)
            .count()
            .max(1)
    );
    assert!(count(Kind::ContentLength) + count(Kind::TransferEncoding) <= 1);
    for gone in [Kind::HopByHop, Kind::KeepAlive, Kind::Nominated, Kind::Te] {
        assert_eq!(count(gone), 0, "{gone:?}");
    }
}
