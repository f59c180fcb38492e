//! What a client of the demo saw instead of what it wanted, in words.
//!
//! Pure, and for answers of our own proxy only.

/// The status of an answer, with the details of its `Proxy-Status` (RFC 9209, section 2.1.5) where it has them.
pub(super) fn refusal_in(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap_or(status);
    let details = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if !name.eq_ignore_ascii_case("proxy-status") {
            return None;
        }
        let (_, details) = value.split_once("details=\"")?;
        Some(details.rsplit_once('"')?.0)
    });
    match details {
        Some(details) => format!("{status}: {details}"),
        None => status.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_details() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nproxy-status: lasthop; error=x; details=\"no ports\"\r\n\r\n";
        assert_eq!(
            refusal_in(head.as_bytes()),
            "503 Service Unavailable: no ports"
        );
        assert_eq!(
            refusal_in(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
            "502 Bad Gateway"
        );
    }
}
