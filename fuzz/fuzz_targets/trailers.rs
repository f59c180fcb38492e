//! Any bytes as a trailer section. What passes is well-formed, may pass again, and passing it again
//! changes nothing.

#![no_main]

use lasthop_http1::fields::Kind;
use lasthop_http1::trailers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|section: &[u8]| {
    let mut first = Vec::new();
    trailers::write(&mut first, section);
    if trailers::check(section).is_err() {
        assert!(first.is_empty(), "a malformed section passes nothing on");
        return;
    }
    for line in first
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line = line.strip_suffix(b"\r").expect("lines end with CRLF");
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        assert_eq!(Kind::of(name), Kind::Other);
        assert!(
            line.iter()
                .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        );
    }
    if !first.is_empty() {
        first.extend_from_slice(b"\r\n");
        trailers::check(&first).expect("what is written is accepted");
    }
    let mut second = Vec::new();
    trailers::write(&mut second, &first);
    assert_eq!(second, first.strip_suffix(b"\r\n").unwrap_or_default());
});
