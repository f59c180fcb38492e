//! What an instance has sampled: its `/history` (docs/metrics.md), read into columns and checked.
//!
//! The page comes from a process that may be another version or no lasthop at all, so everything about it is looked at:
//! its size before it is read, the length of every column, the order of its times. A column that this version does not
//! know is skipped, as the format allows; one that is missing is empty.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::history::Window;

/// The version that is understood.
const SCHEMA: &str = "lasthop.history/1";

/// Points that are taken: three times as many as an instance keeps of a window, gaps included.
const POINTS_MAX: usize = 1024;

/// Entries of each kind (groups, upstreams, kinds of failures) that are taken: more than an instance has.
const ENTRIES_MAX: usize = 64;

/// One number for each time, or none. Empty where the page did not have it.
pub type Column = Vec<Option<f64>>;

/// The history of an instance over one window.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Past {
    schema: String,
    /// The window, as `/history?window=` spells it.
    pub window: String,
    /// The time that one point stands for, in seconds.
    pub step_seconds: f64,
    /// How far apart readings of the host are, in seconds.
    #[serde(default)]
    pub host_period_seconds: f64,
    /// The end of the time that each point stands for, in milliseconds since 1970.
    pub at_ms: Vec<u64>,
    /// The host as the instance saw it.
    pub host: Option<PastHost>,
    /// The instance itself.
    pub own: Option<PastOwn>,
}

/// Columns about the host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PastHost {
    /// Sockets by state.
    pub sockets: BTreeMap<String, Column>,
    /// The fullest groups.
    pub groups: Vec<PastGroup>,
}

/// Columns about one group.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PastGroup {
    /// The address that connections come from.
    pub source: IpAddr,
    /// Where they lead.
    pub target: SocketAddr,
    /// Ports in use.
    #[serde(default)]
    pub used: Column,
    /// Connections in TIME_WAIT.
    #[serde(default)]
    pub time_wait: Column,
}

/// Columns about the instance; rates are per second, durations in seconds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PastOwn {
    /// Requests that ended.
    pub requests_per_second: Column,
    /// Those that failed, by kind.
    pub failures_per_second: BTreeMap<String, Column>,
    /// What half of the requests did not exceed.
    pub duration_p50_seconds: Column,
    /// What 99 of a hundred did not exceed.
    pub duration_p99_seconds: Column,
    /// Attempts to connect to apps, by result.
    pub connects_per_second: BTreeMap<String, Column>,
    /// Requests over a connection that had carried one before.
    pub reuse_per_second: Column,
    /// Client connections.
    pub client_connections: Column,
    /// Descriptors in use.
    pub file_descriptors: Column,
    /// How many there can be.
    pub file_descriptors_limit: Column,
    /// The upstreams.
    pub upstreams: Vec<PastUpstream>,
}

/// Columns about one upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PastUpstream {
    /// Its name in the configuration.
    pub name: String,
    /// Connections with a request.
    pub active: Column,
    /// Connections that wait for one.
    pub idle: Column,
    /// Connections being made.
    pub connecting: Column,
    /// Requests that wait for a connection.
    pub queue: Column,
}

/// Why a page is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It is no JSON of this shape.
    #[error("its /history is not what lasthop writes: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("its /history has the schema {0:?}, and this version reads {SCHEMA:?}")]
    Schema(String),
    /// It contradicts itself, or is too large.
    #[error("its /history is broken: {0}")]
    Broken(&'static str),
}

impl Past {
    /// Reads a page.
    ///
    /// # Errors
    /// [`PastError`], which is the instance's fault.
    pub fn of_json(text: &[u8]) -> Result<Self, PastError> {
        let past: Self = serde_json::from_slice(text)?;
        if past.schema != SCHEMA {
            return Err(PastError::Schema(past.schema.chars().take(40).collect()));
        }
        past.check()?;
        Ok(past)
    }

    fn check(&self) -> Result<(), PastError> {
        if self.at_ms.len() > POINTS_MAX {
            return Err(PastError::Broken("too many points"));
        }
        if self.at_ms.windows(2).any(|two| two[0] > two[1]) {
            return Err(PastError::Broken("its times are in no order"));
        }
        if !self.step_seconds.is_finite() || !(0.0..=86_400.0).contains(&self.step_seconds) {
            return Err(PastError::Broken("its step is no length of time"));
        }
        let host = self.host.iter();
        let own = self.own.iter();
        let entries = host
            .flat_map(|host| [host.sockets.len(), host.groups.len()])
            .chain(own.flat_map(|own| {
                let kinds = [&own.failures_per_second, &own.connects_per_second];
                kinds
                    .map(BTreeMap::len)
                    .into_iter()
                    .chain([own.upstreams.len()])
            }));
        if entries.into_iter().any(|entries| entries > ENTRIES_MAX) {
            return Err(PastError::Broken("too many columns"));
        }
        let points = self.at_ms.len();
        if self
            .columns()
            .any(|column| !column.is_empty() && column.len() != points)
        {
            return Err(PastError::Broken(
                "a column has not one number for each time",
            ));
        }
        Ok(())
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        let of_host = self.host.iter().flat_map(|host| {
            let groups = host.groups.iter();
            let of_groups = groups.flat_map(|group| [&group.used, &group.time_wait]);
            host.sockets.values().chain(of_groups)
        });
        let of_own = self.own.iter().flat_map(|own| {
            let upstreams = own.upstreams.iter();
            let single = [
                &own.requests_per_second,
                &own.duration_p50_seconds,
                &own.duration_p99_seconds,
                &own.reuse_per_second,
                &own.client_connections,
                &own.file_descriptors,
                &own.file_descriptors_limit,
            ];
            let of_kinds = own.failures_per_second.values();
            single
                .into_iter()
                .chain(of_kinds.chain(own.connects_per_second.values()))
                .chain(
                    upstreams.flat_map(|one| [&one.active, &one.idle, &one.connecting, &one.queue]),
                )
        });
        of_host.chain(of_own)
    }

    /// Which window it is of; none where this version knows none of that name.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        Window::of(&self.window)
    }

    /// The time that one point stands for, in milliseconds.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a day: checked when it was read"
    )]
    pub fn step_ms(&self) -> u64 {
        (self.step_seconds * 1e3) as u64
    }

    /// A column as points in time; those without a number are left out.
    pub fn points<'a>(&'a self, column: &'a Column) -> impl Iterator<Item = (u64, f64)> + 'a {
        let times = self.at_ms.iter().zip(column);
        times.filter_map(|(at_ms, value)| Some((*at_ms, (*value)?)))
    }
}

/// The last number of a column, where its last point has one.
#[must_use]
pub fn now(column: &[Option<f64>]) -> Option<f64> {
    column.last().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rest: &str) -> String {
        format!(
            r#"{{"schema":"lasthop.history/1","window":"10m","step_seconds":2,"at_ms":[1000,3000],{rest}}}"#
        )
    }

    fn why(text: &str) -> String {
        Past::of_json(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_page_is_read_and_what_is_new_in_it_skipped() {
        let past = Past::of_json(
            page(r#""host":{"sockets":{"time_wait":[null,5]},"weather":[1]},"own":{"requests_per_second":[1.5,2]}"#)
                .as_bytes(),
        )
        .unwrap();
        assert_eq!(past.window(), Some(Window::TenMinutes));
        let host = past.host.as_ref().unwrap();
        let points: Vec<_> = past.points(&host.sockets["time_wait"]).collect();
        assert_eq!(points, [(3000, 5.0)]);
        let own = past.own.as_ref().unwrap();
        assert_eq!(now(&own.requests_per_second), Some(2.0));
        assert_eq!(now(&own.reuse_per_second), None);
    }

    #[test]
    fn a_page_that_contradicts_itself_is_refused_in_words() {
        let cases = [
            ("", "not what lasthop writes"),
            ("<html>", "not what lasthop writes"),
            (
                r#"{"schema":"x","window":"10m","step_seconds":2,"at_ms":[]}"#,
                "\"x\"",
            ),
            (
                r#"{"schema":"lasthop.history/1","window":"10m","step_seconds":2,"at_ms":[2,1]}"#,
                "no order",
            ),
            (
                r#"{"schema":"lasthop.history/1","window":"10m","step_seconds":-1,"at_ms":[]}"#,
                "no length of time",
            ),
        ];
        for (text, part) in cases {
            assert!(why(text).contains(part), "{text}: {}", why(text));
        }
        let short = page(r#""own":{"reuse_per_second":[1]}"#);
        assert!(why(&short).contains("one number for each time"));
        let many: Vec<String> = (0..65).map(|n| format!("\"k{n}\":[1,1]")).collect();
        let many = page(&format!(r#""host":{{"sockets":{{{}}}}}"#, many.join(",")));
        assert!(why(&many).contains("too many columns"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = page(
            r#""host":{"groups":[{"source":"::1","target":"[::1]:1","used":[1,2]}]},"own":null"#,
        );
        assert!(Past::of_json(whole.as_bytes()).is_ok());
        for end in 0..whole.len() {
            assert!(Past::of_json(&whole.as_bytes()[..end]).is_err());
        }
    }
}
