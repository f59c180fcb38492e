//! First stage: which keys the file has and what kind of value each takes.
//!
//! Every value keeps its span, so that the second stage can point at it. Nothing is decided here but kinds: that a
//! timeout is a duration, not whether it is a sensible one; a key that is absent stays absent until the rules fill in its
//! default. These structs are the list of keys: `keys` asks them which ones there are.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

use super::secret::Secret;
use super::units::{UnitError, parse_duration, parse_size};

/// A key that may be absent, with the place of its value.
pub(super) type Set<T> = Option<Spanned<T>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: ServerTable,
    pub(super) log: LogTable,
    pub(super) admin: Option<Spanned<AdminTable>>,
    pub(super) listener: Vec<Spanned<ListenerTable>>,
    pub(super) upstream: Vec<Spanned<UpstreamTable>>,
    pub(super) route: Vec<Spanned<RouteTable>>,
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    pub(super) workers: Set<Count>,
    pub(super) share: Set<bool>,
    pub(super) error_details: Set<bool>,
    pub(super) trusted_proxies: Set<List>,
    pub(super) drain_timeout: Set<Time>,
    pub(super) buffer_memory: Set<Size>,
    pub(super) spill_range: Set<String>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogTable {
    pub(super) access: Set<String>,
    pub(super) format: Set<String>,
    pub(super) level: Set<String>,
}

/// `[admin]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminTable {
    pub(super) address: Set<String>,
    pub(super) token: Set<Secret>,
    pub(super) hosts: Set<List>,
}

/// `[[listener]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListenerTable {
    pub(super) name: Set<String>,
    pub(super) address: Set<String>,
    pub(super) protocol: Set<String>,
    pub(super) max_connections: Set<Count>,
    pub(super) header_timeout: Set<Time>,
    pub(super) idle_timeout: Set<Time>,
    pub(super) body_timeout: Set<Time>,
    pub(super) header_size_max: Set<Size>,
    pub(super) headers_max: Set<Count>,
}

/// `[[upstream]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpstreamTable {
    pub(super) name: Set<String>,
    pub(super) targets: Set<List>,
    pub(super) source: Set<WordOrList>,
    pub(super) close: Set<String>,
    pub(super) balance: Set<String>,
    pub(super) max_connections: Set<Count>,
    pub(super) queue: Set<QueueTable>,
    pub(super) keepalive: Set<KeepaliveTable>,
    pub(super) buffer: Set<BufferTable>,
    pub(super) restart_grace: Set<Time>,
    pub(super) connect_timeout: Set<Time>,
    pub(super) response_timeout: Set<Time>,
    pub(super) body_timeout: Set<Time>,
    pub(super) tunnel_timeout: Set<Time>,
    pub(super) retries: Set<Count>,
    pub(super) via: Set<bool>,
    pub(super) forwarded: Set<bool>,
    pub(super) request_id: Set<bool>,
    pub(super) header_size_max: Set<Size>,
}

/// `queue = { … }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueTable {
    pub(super) size: Set<Count>,
    pub(super) timeout: Set<Time>,
}

/// `keepalive = { … }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepaliveTable {
    pub(super) idle: Set<Count>,
    pub(super) timeout: Set<Time>,
}

/// `buffer = { … }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BufferTable {
    pub(super) request: Set<Size>,
    pub(super) response: Set<Size>,
}

/// `[[route]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteTable {
    pub(super) name: Set<String>,
    pub(super) host: Set<String>,
    pub(super) path: Set<String>,
    pub(super) upstream: Set<String>,
    pub(super) body_size_max: Set<Size>,
}

/// A duration, `"250ms"`; plain `0` as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Duration);

/// A number of bytes, `"64KiB"`; plain `0` as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

/// A plain integer of 0 or more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) u64);

/// What a key that takes a list says it expects.
pub(super) const LIST_EXPECTED: &str = "a list of strings, in brackets";

/// A list of texts, each with its place.
#[derive(Clone, Debug)]
pub(super) struct List(pub(super) Vec<Spanned<String>>);

/// A word, or a list of texts.
#[derive(Clone, Debug)]
pub(super) enum WordOrList {
    Word(String),
    List(List),
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = Quantity {
            expected: "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"",
            parse: parse_duration,
            zero: Duration::ZERO,
        };
        deserializer.deserialize_any(visitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = Quantity {
            expected: "a size such as \"64KiB\" or \"10MiB\"",
            parse: parse_size,
            zero: 0,
        };
        deserializer.deserialize_any(visitor).map(Self)
    }
}

/// A number with a unit, as a string, or `0`, which needs none.
struct Quantity<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, UnitError>,
    zero: T,
}

impl<T> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(|error| match error {
            // What is wrong does not say what would be right.
            UnitError::Number(_) | UnitError::NoUnit(_) => {
                E::custom(format!("{error}; expected {}", self.expected))
            }
            _ => E::custom(error),
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match number {
            0 => Ok(self.zero),
            _ => Err(E::custom(format!(
                "{number} has no unit; expected {}",
                self.expected
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Plain;
        impl Visitor<'_> for Plain {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of 0 or more")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
                u64::try_from(number).map(Count).map_err(|_| {
                    E::custom(format!(
                        "{number} is negative; expected an integer of 0 or more"
                    ))
                })
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(number))
            }
        }
        deserializer.deserialize_any(Plain)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(LIST_EXPECTED)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<List, A::Error> {
                texts(list)
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

fn texts<'de, A: SeqAccess<'de>>(mut list: A) -> Result<List, A::Error> {
    let mut texts = Vec::new();
    while let Some(text) = list.next_element()? {
        texts.push(text);
    }
    Ok(List(texts))
}

impl<'de> Deserialize<'de> for WordOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WordOrList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or a list of strings, in brackets")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<WordOrList, E> {
                Ok(WordOrList::Word(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<WordOrList, A::Error> {
                texts(list).map(WordOrList::List)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
