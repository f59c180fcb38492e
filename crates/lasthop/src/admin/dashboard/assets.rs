//! The style sheet, the script and the icon: parts of the program, each under a name that holds a hash of its content.
//!
//! A browser may keep such a file for ever, because another content has another name; so these are the only answers of the
//! admin address that may be kept at all.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// A file of the dashboard.
#[derive(Debug)]
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    media: &'static str,
    content: &'static str,
    hash: u64,
}

pub(super) const STYLE: Asset = Asset::new(
    "style",
    "css",
    "text/css; charset=utf-8",
    include_str!("assets/style.css"),
);
pub(super) const SCRIPT: Asset = Asset::new(
    "live",
    "js",
    "text/javascript; charset=utf-8",
    include_str!("assets/live.js"),
);
pub(super) const ICON: Asset = Asset::new(
    "icon",
    "svg",
    "image/svg+xml",
    include_str!("assets/icon.svg"),
);

/// Only for whoever asked, since a token may stand before it; for a year, which is what caches take for ever
/// (RFC 9111 section 5.2.2.1, RFC 8246).
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

impl Asset {
    const fn new(
        stem: &'static str,
        extension: &'static str,
        media: &'static str,
        content: &'static str,
    ) -> Self {
        Self {
            stem,
            extension,
            media,
            content,
            hash: fnv(content.as_bytes()),
        }
    }

    fn name(&self) -> String {
        format!("{}-{:016x}.{}", self.stem, self.hash, self.extension)
    }

    /// Where it is served.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", self.hash);
        let has_it = request.get_all(IF_NONE_MATCH).iter().any(|field| {
            // Weak and strong tags are alike here (RFC 9110 section 13.1.2).
            let mut tags = field.as_bytes().split(|byte| *byte == b',');
            tags.any(|it| it.trim_ascii().trim_ascii_start().ends_with(tag.as_bytes()))
        });
        let mut answer = if has_it {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(CONTENT_TYPE, self.media)], self.content).into_response()
        };
        answer.headers_mut().insert(CACHE_CONTROL, KEEP);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.headers_mut().insert(ETAG, tag);
        }
        answer
    }
}

/// The answer for `/assets/NAME`; none where there is no such file, as for the name of an older version.
pub(super) fn answer(name: &str, request: &HeaderMap) -> Option<Response> {
    let all = [&STYLE, &SCRIPT, &ICON];
    let asset = all.into_iter().find(|asset| asset.name() == name)?;
    Some(asset.answer(request))
}

/// FNV-1a, 64 bits: tells contents apart, keeps nobody out. Usable at compile time, and the same in every build.
pub(super) const fn fnv(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_its_definition() {
        // From the reference of Fowler, Noll and Vo.
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_file_is_kept_by_its_name_and_told_unchanged_by_its_tag() {
        let name = STYLE.name();
        let answer = super::answer(&name, &HeaderMap::new()).unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CACHE_CONTROL], KEEP);
        let tag = answer.headers()[ETAG].clone();
        for (field, status) in [
            (tag.to_str().unwrap().to_owned(), 304),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, field.parse().unwrap());
            assert_eq!(
                super::answer(&name, &request).unwrap().status(),
                status,
                "{field}"
            );
        }
        assert!(super::answer("style-0000000000000000.css", &HeaderMap::new()).is_none());
        assert!(super::answer("../Cargo.toml", &HeaderMap::new()).is_none());
    }

    #[test]
    fn the_files_ask_no_other_host_for_anything() {
        for asset in [&STYLE, &SCRIPT, &ICON] {
            let text = asset.content.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "//cdn", "@import", "url("] {
                assert!(!text.contains(word), "{word} in {}", asset.name());
            }
        }
    }
}
