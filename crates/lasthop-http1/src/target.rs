//! The request target in its forms (RFC 9112 section 3.2).
//!
//! Paths are neither decoded nor normalised: the app sees the bytes the client sent. Bytes beyond
//! RFC 3986 that are in common use (`|`, `{`, `"`, raw UTF-8) pass; spaces, controls and bytes that
//! are not UTF-8 never get here, and a `#` is refused, since a fragment is not sent and whoever
//! sends one wants two recipients to see two paths.

use crate::authority;
use crate::refusal::Refusal;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`, the form nearly every request has.
    Origin(&'b str),
    /// `http://authority/path?query`, as clients send it to a proxy they know of.
    Absolute {
        /// `host[:port]`, valid. Takes the place of Host.
        authority: &'b str,
        /// Begins with `/`, or with `?`, or is empty where the path was left out, or is `*` for an
        /// OPTIONS request with neither path nor query (RFC 9112 section 3.2.4).
        path_and_query: &'b str,
    },
    /// `*`, with OPTIONS only.
    Asterisk,
}

impl<'b> Target<'b> {
    /// Tells the forms apart.
    ///
    /// # Errors
    ///
    /// 400 for a fragment, an unknown scheme, a malformed authority, and for the authority-form,
    /// which belongs to CONNECT alone.
    pub(crate) fn parse(target: &'b str, method: &str) -> Result<Self, Refusal> {
        if memchr::memchr(b'#', target.as_bytes()).is_some() {
            return Err(Refusal::bad("the request target has a fragment"));
        }
        if target.starts_with('/') {
            return Ok(Self::Origin(target));
        }
        if target == "*" {
            if method == "OPTIONS" {
                return Ok(Self::Asterisk);
            }
            return Err(Refusal::bad("the target * goes with OPTIONS only"));
        }
        let Some(rest) = after_scheme(target) else {
            return Err(Refusal::bad(
                "the request target is neither a path nor an http or https URI",
            ));
        };
        let authority_ends = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_ends);
        if authority::parse(authority.as_bytes()).is_none() {
            return Err(Refusal::bad(
                "the authority of the request target is malformed",
            ));
        }
        let path_and_query = if path_and_query.is_empty() && method == "OPTIONS" {
            "*"
        } else {
            path_and_query
        };
        Ok(Self::Absolute {
            authority,
            path_and_query,
        })
    }

    /// The path, without query; `*` for what asks about the server as a whole.
    #[must_use]
    pub fn path(&self) -> &'b str {
        let path = self.path_and_query().split('?').next().unwrap_or_default();
        if path.is_empty() { "/" } else { path }
    }

    /// Path and query as received: may be empty or begin with `?` in the absolute form.
    #[must_use]
    pub fn path_and_query(&self) -> &'b str {
        match self {
            Self::Origin(path_and_query) | Self::Absolute { path_and_query, .. } => path_and_query,
            Self::Asterisk => "*",
        }
    }

    /// Appends the form that goes to the app: the origin-form, or `*`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let path_and_query = self.path_and_query();
        if path_and_query.is_empty() || path_and_query.starts_with('?') {
            out.push(b'/');
        }
        out.extend_from_slice(path_and_query.as_bytes());
    }
}

/// What follows `http://` or `https://`, in any case.
fn after_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_known.then_some(rest)
}
