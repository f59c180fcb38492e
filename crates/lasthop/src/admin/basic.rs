//! The password in the credentials of HTTP Basic (RFC 7617), which is what a browser can send.
//!
//! A browser has no way to send `Authorization: Bearer`, and a token in an address would end up in its history. So it is
//! asked for a password, and the token is one. Only decodes; who gets in is the gate's business.

/// Characters of credentials: more than any token has.
const CREDENTIALS_MAX: usize = 4096;

/// The password in `credentials`, the part after the scheme; none where they are not what RFC 7617 describes. The user
/// before the first colon may be anybody.
pub(super) fn password(credentials: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(credentials)?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

/// Base64 (RFC 4648 section 4), with or without the padding at its end.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > CREDENTIALS_MAX {
        return None;
    }
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    if text.len() - end > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(end * 3 / 4);
    for group in text[..end].chunks(4) {
        let mut bits = 0;
        for character in group {
            bits = bits << 6 | u32::from(value(*character)?);
        }
        match group.len() {
            4 => bytes.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
            2 => bytes.extend_from_slice(&(bits >> 4).to_be_bytes()[3..]),
            // Six bits are no byte.
            _ => return None,
        }
    }
    Some(bytes)
}

fn value(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standard_decode() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zg", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(
                decode(text.as_bytes()).as_deref(),
                Some(bytes.as_bytes()),
                "{text}"
            );
        }
        for text in ["Z", "Zg===", "Z=g=", "Zm9v\n", "Zm9_", "====", "Zm9vY"] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(decode(&[b'A'; CREDENTIALS_MAX + 1]), None);
    }

    #[test]
    fn a_password_is_all_after_the_first_colon() {
        for (credentials, found) in [
            // `Aladdin:open sesame`, from RFC 7617; `:a:b`; `a`.
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("open sesame")),
            ("OmE6Yg==", Some("a:b")),
            ("YQ==", None),
        ] {
            let password = password(credentials.as_bytes());
            assert_eq!(
                password.as_deref(),
                found.map(str::as_bytes),
                "{credentials}"
            );
        }
    }
}
