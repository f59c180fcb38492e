//! What the documentation of the format names and this version does not have.
//!
//! One table, so that each entry is refused in the same words and leaves the table on the day it is built. Nothing is
//! read and then ignored: whoever writes `tls` must not get a listener without it.

use std::fmt;

/// One thing that is planned. Printed, it is the whole sentence of the refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Planned {
    written: Written,
    /// What it would be: the subject of "is planned".
    what: &'static str,
    /// What to write today.
    pub(super) meanwhile: &'static str,
}

/// How it is written in the file.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// Section and key.
    Key(&'static str, &'static str),
    /// One word as the value of a key that exists.
    Word(&'static str, &'static str, &'static str),
    /// An address to listen on that begins so.
    ListenPrefix(&'static str),
    /// A target that begins so.
    TargetPrefix(&'static str),
    /// A target with a name to resolve, `HOST:PORT`.
    TargetName,
}

use Written::{Key, ListenPrefix, TargetName, TargetPrefix, Word};

const LEAVE_OUT: &str = "leave it out";
const ROUND_ROBIN: &str = "leave it out, or write balance = \"round_robin\"";
const TLS_ELSEWHERE: &str = "leave it out and let what stands before this proxy speak TLS";

/// So that the table below has one entry a line.
const fn planned(written: Written, what: &'static str, meanwhile: &'static str) -> Planned {
    Planned {
        written,
        what,
        meanwhile,
    }
}

/// Each entry: how it is written, what it would be, what to write today.
static PLANNED: [Planned; 13] = [
    planned(Key("server", "control"), "the control socket", LEAVE_OUT),
    planned(Key("listener", "tls"), "TLS towards clients", TLS_ELSEWHERE),
    planned(
        Key("listener", "accept_proxy_protocol_from"),
        "the PROXY protocol from clients",
        LEAVE_OUT,
    ),
    planned(
        Word("listener", "protocol", "tcp"),
        "forwarding of plain TCP",
        "leave it out, or write protocol = \"http\"",
    ),
    planned(
        Key("upstream", "health"),
        "asking the application for its health",
        LEAVE_OUT,
    ),
    planned(
        Key("upstream", "send_proxy_protocol"),
        "the PROXY protocol towards the application",
        LEAVE_OUT,
    ),
    planned(
        Word("upstream", "balance", "least_connections"),
        "balancing by connections",
        ROUND_ROBIN,
    ),
    planned(
        Word("upstream", "balance", "p2c_ewma"),
        "balancing by latency",
        ROUND_ROBIN,
    ),
    planned(
        Word("upstream", "balance", "hash"),
        "balancing by hash",
        ROUND_ROBIN,
    ),
    planned(
        ListenPrefix("fd:"),
        "socket activation (`fd:`)",
        "write IP:PORT or unix:/path",
    ),
    planned(
        TargetPrefix("h2c+"),
        "HTTP/2 towards the application (`h2c+`)",
        "leave the prefix out to speak HTTP/1.1",
    ),
    planned(
        TargetPrefix("tls+"),
        "TLS towards the application (`tls+`)",
        "leave the prefix out to speak without TLS",
    ),
    planned(
        TargetName,
        "resolving the name of a target",
        "write its address, such as 127.0.0.1:3000",
    ),
];

/// The entry for a key. Sections are named without brackets.
pub(super) fn key(section: &str, key: &str) -> Option<&'static Planned> {
    find(|written| matches!(written, Key(s, k) if *s == section && *k == key))
}

/// The entry for a word as the value of a key.
pub(super) fn word(section: &str, key: &str, value: &str) -> Option<&'static Planned> {
    find(|written| match written {
        Word(s, k, v) => *s == section && *k == key && *v == value,
        _ => false,
    })
}

/// The entry for an address to listen on.
pub(super) fn listen_address(text: &str) -> Option<&'static Planned> {
    find(|written| matches!(written, ListenPrefix(prefix) if text.starts_with(prefix)))
}

/// The entry for a target.
pub(super) fn target(text: &str) -> Option<&'static Planned> {
    find(|written| match written {
        TargetPrefix(prefix) => text.starts_with(prefix),
        TargetName => is_name_and_port(text),
        _ => false,
    })
}

fn find(is_it: impl Fn(&Written) -> bool) -> Option<&'static Planned> {
    PLANNED.iter().find(|planned| is_it(&planned.written))
}

/// `app.internal:3000`: letters, so that a mistyped IPv4 address is not taken for a name.
fn is_name_and_port(text: &str) -> bool {
    let Some((name, port)) = text.split_once(':') else {
        return false;
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    name != "unix"
        && name.bytes().all(known)
        && name.bytes().any(|b| b.is_ascii_alphabetic())
        && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Every entry as the documentation writes it.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let text = |planned: &Planned| match planned.written {
        Key(_, key) => format!("`{key}`"),
        Word(_, _, word) => format!("\"{word}\"`"),
        ListenPrefix(prefix) => format!("`{prefix}NAME`"),
        TargetPrefix(prefix) => format!("`{prefix}`"),
        TargetName => "`HOST:PORT`".to_owned(),
    };
    PLANNED.iter().map(text).collect()
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is planned, but not in this version", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_mistyped_addresses() {
        for text in ["localhost:3000", "h2c+unix:/a"] {
            assert!(target(text).is_some(), "{text}");
        }
        for text in [
            "127.0.0.1:3000",
            "127.0.0.0/8:3000",
            "[fd00::/64]:3000",
            "127.0.0.256:3000",
            "[::1]:80",
            "unix:/run/a:1",
            "unix:80",
            "localhost",
            "a:b",
        ] {
            assert!(target(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_that_it_is_planned() {
        assert_eq!(
            key("listener", "tls").unwrap().to_string(),
            "TLS towards clients is planned, but not in this version"
        );
    }
}
