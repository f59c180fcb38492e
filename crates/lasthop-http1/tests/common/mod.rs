//! What the tests of this crate share: bytes in, verdict or bytes out.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use lasthop_http1::Version;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::forwarding::Forwarding;
use lasthop_http1::limits::HeadLimits;
use lasthop_http1::refusal::{Malformed, Refusal};
use lasthop_http1::request::{self, RequestHead};
use lasthop_http1::response::{self, Delivery, RequestKind, ResponseHead};
use lasthop_http1::scan::HeadScan;

/// A peer that is not trusted, on TCP.
pub(crate) const STRANGER: Forwarding<'static> = Forwarding {
    peer_ip: Some("192.0.2.7"),
    proto: "http",
    trusted: false,
    via: true,
    forwarded: false,
    request_id: None,
    host_fallback: "fallback.test",
};

/// A trusted peer, on TCP.
pub(crate) const TRUSTED: Forwarding<'static> = Forwarding {
    trusted: true,
    ..STRANGER
};

/// Nothing known and nothing said: no forwarding field but those of a plain gateway.
pub(crate) const SILENT: Forwarding<'static> = Forwarding {
    peer_ip: None,
    via: false,
    ..STRANGER
};

/// Scans and parses one request head and hands it over. `None` if the head is not whole.
pub(crate) fn with_request<T>(
    bytes: &[u8],
    then: impl FnOnce(&RequestHead<'_, '_>) -> T,
) -> Option<Result<T, Refusal>> {
    let length = match HeadScan::request().scan(bytes) {
        Ok(Some(length)) => length,
        Ok(None) => return None,
        Err(fault) => return Some(Err(fault.into())),
    };
    let mut storage = FieldStorage::default();
    let parsed = request::parse(&bytes[..length], &mut storage, &HeadLimits::default());
    Some(parsed.map(|head| then(&head)))
}

/// What an accepted request means to the test.
pub(crate) fn accepted<T>(bytes: &[u8], then: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
    match with_request(bytes, then) {
        Some(Ok(value)) => value,
        Some(Err(refusal)) => panic!("refused: {refusal}: {}", bytes.escape_ascii()),
        None => panic!("not whole: {}", bytes.escape_ascii()),
    }
}

/// The refusal of a request that must not pass.
pub(crate) fn refused(bytes: &[u8]) -> Refusal {
    match with_request(bytes, |_| ()) {
        Some(Err(refusal)) => refusal,
        Some(Ok(())) => panic!("accepted: {}", bytes.escape_ascii()),
        None => panic!("not whole: {}", bytes.escape_ascii()),
    }
}

/// What the app gets to read.
pub(crate) fn forwarded(bytes: &[u8], forwarding: &Forwarding<'_>) -> String {
    accepted(bytes, |head| {
        let mut out = Vec::new();
        request::write(&mut out, head, forwarding);
        String::from_utf8_lossy(&out).into_owned()
    })
}

/// Scans and parses one answer and hands it over. `None` if the head is not whole.
pub(crate) fn with_response<T>(
    bytes: &[u8],
    request: RequestKind<'_>,
    then: impl FnOnce(&ResponseHead<'_, '_>) -> T,
) -> Option<Result<T, Malformed>> {
    let length = match HeadScan::response().scan(bytes) {
        Ok(Some(length)) => length,
        Ok(None) => return None,
        Err(fault) => return Some(Err(fault.into())),
    };
    let mut storage = FieldStorage::default();
    let parsed = response::parse(
        &bytes[..length],
        &mut storage,
        request,
        &HeadLimits::default(),
    );
    Some(parsed.map(|head| then(&head)))
}

/// What an accepted answer to this request means to the test.
pub(crate) fn answered<T>(
    bytes: &[u8],
    request: RequestKind<'_>,
    then: impl FnOnce(&ResponseHead<'_, '_>) -> T,
) -> T {
    match with_response(bytes, request, then) {
        Some(Ok(value)) => value,
        Some(Err(malformed)) => panic!("malformed: {malformed}: {}", bytes.escape_ascii()),
        None => panic!("not whole: {}", bytes.escape_ascii()),
    }
}

/// What is wrong with an answer that must not pass.
pub(crate) fn malformed(bytes: &[u8], request: RequestKind<'_>) -> Malformed {
    match with_response(bytes, request, |_| ()) {
        Some(Err(malformed)) => malformed,
        Some(Ok(())) => panic!("accepted: {}", bytes.escape_ascii()),
        None => panic!("not whole: {}", bytes.escape_ascii()),
    }
}

/// What a client of this version gets to read, which may keep its connection.
pub(crate) fn delivered(bytes: &[u8], request: RequestKind<'_>, client: Version) -> String {
    answered(bytes, request, |head| {
        let mut out = Vec::new();
        response::write(&mut out, head, &Delivery::of(head, client, true));
        String::from_utf8_lossy(&out).into_owned()
    })
}

/// The lines of a head, without the blank one.
pub(crate) fn lines(head: &str) -> Vec<&str> {
    head.split_terminator("\r\n")
        .filter(|line| !line.is_empty())
        .collect()
}
