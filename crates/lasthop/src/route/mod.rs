//! Which upstream a request goes to: the most specific host first, then the longest path prefix.
//!
//! An exact host beats a wildcard, a longer wildcard beats a shorter one, and a route without a host
//! takes what is left. A host whose own routes do not cover the path falls through to the less
//! specific ones, so that `/` without a host can serve as the default for everything.
//!
//! Paths are compared as they were sent, byte for byte, as plain prefixes: routing is not access
//! control, and an app that decodes `%2e%2e` does so after us.

use std::cmp::Ordering;

use crate::config::{HostPattern, Route};

/// The routes of a configuration, in the order in which they are tried.
#[derive(Debug)]
pub struct RouteTable {
    /// Sorted by host (folded to lower case).
    exact: Vec<(String, Paths)>,
    /// `.example.com` for `*.example.com`; the longest first.
    wildcard: Vec<(String, Paths)>,
    any: Paths,
}

/// Path prefixes with the index of their route, the longest first.
#[derive(Debug, Default)]
struct Paths(Vec<(String, usize)>);

impl Paths {
    fn insert(&mut self, path: &str, route: usize) {
        let at = self
            .0
            .partition_point(|(other, _)| other.len() >= path.len());
        self.0.insert(at, (path.to_owned(), route));
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        self.0
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix.as_bytes()))
            .map(|(_, route)| *route)
    }
}

impl RouteTable {
    /// Sorts `routes`; what [`RouteTable::find`] returns are indices into that slice.
    pub fn new(routes: &[Route]) -> Self {
        let mut table = Self {
            exact: Vec::new(),
            wildcard: Vec::new(),
            any: Paths::default(),
        };
        for (index, route) in routes.iter().enumerate() {
            let paths = match &route.host {
                None => &mut table.any,
                Some(HostPattern::Exact(host)) => {
                    entry(&mut table.exact, &host.to_ascii_lowercase(), str::cmp)
                }
                Some(HostPattern::Wildcard(suffix)) => {
                    let suffix = suffix.trim_start_matches(['*', '.']).to_ascii_lowercase();
                    entry(&mut table.wildcard, &format!(".{suffix}"), longest_first)
                }
            };
            paths.insert(&route.path, index);
        }
        table
    }

    /// The route for a request, or none. `host` is without its port, in any case.
    pub fn find(&self, host: Option<&str>, path: &[u8]) -> Option<usize> {
        if let Some(host) = host {
            let host = host.strip_suffix('.').unwrap_or(host);
            let exact = self
                .exact
                .binary_search_by(|(other, _)| compare_folded(other, host));
            if let Ok(at) = exact
                && let Some(route) = self.exact[at].1.find(path)
            {
                return Some(route);
            }
            for (suffix, paths) in &self.wildcard {
                if ends_with_folded(host, suffix)
                    && let Some(route) = paths.find(path)
                {
                    return Some(route);
                }
            }
        }
        self.any.find(path)
    }
}

fn entry<'t>(
    hosts: &'t mut Vec<(String, Paths)>,
    host: &str,
    order: fn(&str, &str) -> Ordering,
) -> &'t mut Paths {
    let at = match hosts.binary_search_by(|(other, _)| order(other, host)) {
        Ok(at) => at,
        Err(at) => {
            hosts.insert(at, (host.to_owned(), Paths::default()));
            at
        }
    };
    &mut hosts[at].1
}

fn longest_first(a: &str, b: &str) -> Ordering {
    b.len().cmp(&a.len()).then_with(|| a.cmp(b))
}

/// Compares a lower-case name with one in any case, without allocating.
fn compare_folded(lower: &str, any: &str) -> Ordering {
    lower
        .bytes()
        .cmp(any.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// Whether `host` ends with `.suffix` and has a label in front of it.
fn ends_with_folded(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len()
        && host.as_bytes()[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(Option<&str>, &str)]) -> RouteTable {
        let routes: Vec<Route> = routes
            .iter()
            .map(|(host, path)| Route {
                name: String::new(),
                host: host.map(|host| match host.strip_prefix("*.") {
                    Some(suffix) => HostPattern::Wildcard(suffix.to_owned()),
                    None => HostPattern::Exact(host.to_owned()),
                }),
                path: (*path).to_owned(),
                upstream: 0,
                body_size_max: 0,
            })
            .collect();
        RouteTable::new(&routes)
    }

    #[test]
    fn the_most_specific_host_wins_and_then_the_longest_path() {
        let table = table(&[
            (None, "/"),
            (Some("*.example.com"), "/"),
            (Some("*.deep.example.com"), "/"),
            (Some("api.example.com"), "/v1"),
            (Some("api.example.com"), "/v1/users"),
            (Some("api.example.com"), "/"),
        ]);
        let cases: [(Option<&str>, &str, usize); 9] = [
            (Some("api.example.com"), "/v1/users/7", 4),
            (Some("API.Example.COM"), "/v1/x", 3),
            (Some("api.example.com."), "/other", 5),
            (Some("www.example.com"), "/v1", 1),
            (Some("a.deep.example.com"), "/", 2),
            (Some("example.com"), "/", 0),
            (Some("xexample.com"), "/", 0),
            (Some("other.org"), "/v1", 0),
            (None, "/", 0),
        ];
        for (host, path, route) in cases {
            assert_eq!(
                table.find(host, path.as_bytes()),
                Some(route),
                "{host:?} {path}"
            );
        }
    }

    #[test]
    fn a_host_that_does_not_cover_the_path_falls_through() {
        let table = table(&[(Some("a.example"), "/api"), (None, "/")]);
        assert_eq!(table.find(Some("a.example"), b"/api"), Some(0));
        assert_eq!(table.find(Some("a.example"), b"/else"), Some(1));
    }

    #[test]
    fn nothing_matches_where_no_route_covers_it() {
        let table = table(&[(Some("a.example"), "/api")]);
        assert_eq!(table.find(Some("b.example"), b"/api"), None);
        assert_eq!(table.find(None, b"/api"), None);
        assert_eq!(table.find(Some("a.example"), b"*"), None);
    }
}
