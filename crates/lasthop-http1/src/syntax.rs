//! The small grammar all rooms share: tokens, lists, names compared without case (RFC 9110 section
//! 5.6).
//!
//! Tables instead of chains of comparisons, because names are looked at byte by byte on every
//! request.

/// `tchar` of RFC 9110 section 5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x7f {
        let extra = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        table[byte as usize] = byte.is_ascii_alphanumeric() || extra;
        byte += 1;
    }
    table
};

/// Lower case, and `_` read as `-`: what a CGI or WSGI app cannot tell apart any more.
static FOLDED: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = if byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

/// Whether the byte may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether the bytes are a token: at least one byte, all of them `tchar`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Lower case, `_` read as `-`.
pub(crate) fn folded(byte: u8) -> u8 {
    FOLDED[usize::from(byte)]
}

/// Whether `name` reads as `canonical`, which is written in lower case with hyphens, once case and
/// the difference between `_` and `-` are gone.
pub(crate) fn reads_as(name: &[u8], canonical: &[u8]) -> bool {
    name.len() == canonical.len()
        && name
            .iter()
            .zip(canonical)
            .all(|(&byte, &wanted)| folded(byte) == wanted)
}

/// Whether `name`, a token, is `canonical`, which is written in lower case, but for case.
///
/// Setting bit 5 makes a letter small and leaves digits and hyphens alone, and no other byte of a token becomes one of
/// these by it. So eight bytes are compared at once, the last eight over again where the length is no multiple.
pub(crate) fn is_spelled(name: &[u8], canonical: &[u8]) -> bool {
    if name.len() != canonical.len() {
        return false;
    }
    let (Some(last), Some(last_wanted)) = (name.last_chunk::<8>(), canonical.last_chunk::<8>())
    else {
        return short(name) == short(canonical);
    };
    let (words, wanted) = (name.as_chunks::<8>().0, canonical.as_chunks::<8>().0);
    small(*last) == u64::from_ne_bytes(*last_wanted)
        && words
            .iter()
            .zip(wanted)
            .all(|(&word, &wanted)| small(word) == u64::from_ne_bytes(wanted))
}

/// Eight bytes of a token with its letters small.
fn small(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes) | 0x2020_2020_2020_2020
}

/// Fewer than eight bytes with their letters small, the length told by where the zeros end.
fn short(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |word, &byte| word << 8 | u64::from(byte | 0x20))
}

/// Without the spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, trimmed, empty ones included. For fields whose members
/// hold no quoted commas.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_spelled_like_a_name_exactly_where_only_case_differs() {
        for canonical in [
            "te",
            "via",
            "date",
            "expect",
            "upgrade",
            "x-forwarded-for",
            "http2-settings",
        ] {
            let canonical = canonical.as_bytes();
            for at in 0..canonical.len() {
                for byte in (0..=u8::MAX).filter(|&byte| is_token_byte(byte)) {
                    let mut name = canonical.to_vec();
                    name[at] = byte;
                    assert_eq!(
                        is_spelled(&name, canonical),
                        name.eq_ignore_ascii_case(canonical),
                        "{}",
                        String::from_utf8_lossy(&name)
                    );
                }
            }
            assert!(!is_spelled(&canonical[1..], canonical));
            assert!(!is_spelled(b"", canonical));
        }
        assert!(is_spelled(b"", b""), "no name is the name of nothing");
    }
}
