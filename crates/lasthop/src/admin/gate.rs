//! Who gets a page: the checks that every request passes before any page is looked up.
//!
//! In this order: the name it was sent to, the method, the token. What is refused is told with what would help, except
//! that a wrong token is told nothing about the right one.

use std::hint::black_box;

use axum::http::header::{ALLOW, AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};

use super::authority::Names;
use super::basic;
use super::pages::{HEALTH, plain};
use crate::config::Secret;

/// The admin address's conditions.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) names: Names,
    /// What a request has to carry; `None`: nothing.
    pub(super) token: Option<Secret>,
}

impl Gate {
    /// The answer to a request that gets no page; `None` where it does.
    pub(super) fn refusal(&self, request: &Parts) -> Option<Response> {
        self.refuse_name(request)
            .or_else(|| refuse_method(&request.method))
            .or_else(|| self.refuse_stranger(request))
    }

    fn refuse_name(&self, request: &Parts) -> Option<Response> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.as_bytes()),
            // Simple health checks speak HTTP/1.0 without it. No browser does, and they are what the check is about.
            (None, _) if request.version < Version::HTTP_11 => None,
            // RFC 9112 section 3.2.
            (None, _) => return Some(bad_request("a request needs the field Host\n")),
            (Some(_), Some(_)) => return Some(bad_request("a request has one field Host\n")),
        };
        // A whole URI as the target goes before the field (RFC 9112 section 3.2.2); both must be ours.
        let target = request.uri.authority().map(|it| it.as_str().as_bytes());
        let ours = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|it| self.names.include(it));
        if host.into_iter().chain(target).all(ours) {
            return None;
        }
        Some(plain(
            StatusCode::MISDIRECTED_REQUEST,
            "the admin address is called by an IP address, by localhost, or by a name that `hosts` in [admin] lists; \
             Host had another\n",
        ))
    }

    /// Health is what a load balancer asks, which has no token and learns nothing but one word.
    fn refuse_stranger(&self, request: &Parts) -> Option<Response> {
        let token = self.token.as_ref()?;
        if request.uri.path() == HEALTH {
            return None;
        }
        let mut fields = request.headers.get_all(AUTHORIZATION).iter();
        let (challenge, text) = match (fields.next(), fields.next()) {
            (None, _) => (
                "Bearer realm=\"lasthop\"",
                "send the `token` of [admin] as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic\n",
            ),
            (Some(field), None) if carries(field.as_bytes(), token.expose().as_bytes()) => {
                return None;
            }
            // RFC 6750 section 3.1.
            _ => (
                "Bearer realm=\"lasthop\", error=\"invalid_token\"",
                "this is not the `token` of [admin]\n",
            ),
        };
        let mut answer = plain(StatusCode::UNAUTHORIZED, text);
        // In a field each: not every client splits a list of challenges (RFC 9110 section 11.6.1). A browser knows the second
        // and asks for a password.
        for challenge in [challenge, "Basic realm=\"lasthop\", charset=\"UTF-8\""] {
            let challenge = HeaderValue::from_static(challenge);
            answer.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
        Some(answer)
    }
}

/// Whether a field's value carries this token: as `Bearer`, or as the password of `Basic`, where any user will do.
fn carries(field: &[u8], token: &[u8]) -> bool {
    let Some(space) = field.iter().position(|byte| *byte == b' ') else {
        return false;
    };
    let (scheme, sent) = field.split_at(space);
    // RFC 9110 section 11.1: spaces may follow the scheme, which is compared without regard to case.
    let sent = sent.trim_ascii_start();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return is_same(sent, token);
    }
    scheme.eq_ignore_ascii_case(b"basic")
        && basic::password(sent).is_some_and(|password| is_same(&password, token))
}

/// Takes the same time wherever two tokens of one length differ, so that they cannot be guessed byte by byte.
fn is_same(sent: &[u8], token: &[u8]) -> bool {
    if sent.len() != token.len() {
        return false;
    }
    let different = sent
        .iter()
        .zip(token)
        .fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    different == 0
}

fn refuse_method(method: &Method) -> Option<Response> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut answer = plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "the admin address only tells: GET and HEAD\n",
    );
    let methods = HeaderValue::from_static("GET, HEAD");
    answer.headers_mut().insert(ALLOW, methods);
    Some(answer)
}

fn bad_request(text: &'static str) -> Response {
    plain(StatusCode::BAD_REQUEST, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn asked(gate: &Gate, request: axum::http::request::Builder) -> Option<StatusCode> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        gate.refusal(&parts).map(|answer| answer.status())
    }

    fn local(token: Option<&str>) -> Gate {
        Gate {
            names: Names::Local(Vec::new()),
            token: token.map(|token| Secret::from(token.to_owned())),
        }
    }

    #[test]
    fn a_token_is_asked_of_everything_but_health() {
        let gate = local(Some(TOKEN));
        let refused = Some(StatusCode::UNAUTHORIZED);
        for (field, outcome) in [
            ("Bearer 0123456789abcdef", None),
            ("bearer   0123456789abcdef", None),
            ("BEARER 0123456789abcdef", None),
            ("Bearer 0123456789abcdeF", refused),
            ("Bearer 0123456789abcde", refused),
            ("Bearer 0123456789abcdef0", refused),
            ("Bearer 0123456789abcdef x", refused),
            ("Bearer0123456789abcdef", refused),
            ("Basic 0123456789abcdef", refused),
            // `:0123456789abcdef`, `operator:0123456789abcdef`, and the same with another last digit.
            ("Basic OjAxMjM0NTY3ODlhYmNkZWY=", None),
            ("basic b3BlcmF0b3I6MDEyMzQ1Njc4OWFiY2RlZg==", None),
            ("Basic b3BlcmF0b3I6MDEyMzQ1Njc4OWFiY2RlZw==", refused),
            ("Basic", refused),
            ("Digest 0123456789abcdef", refused),
            ("0123456789abcdef", refused),
            ("Bearer", refused),
            ("", refused),
        ] {
            let request = Request::get("/metrics").header(HOST, "localhost");
            assert_eq!(
                asked(&gate, request.header(AUTHORIZATION, field)),
                outcome,
                "{field}"
            );
        }
        let request = |path: &str| Request::get(path).header(HOST, "localhost");
        assert_eq!(asked(&gate, request("/metrics")), refused);
        assert_eq!(asked(&gate, request("/nothing")), refused);
        assert_eq!(asked(&gate, request("/healthz")), None);
        assert_eq!(asked(&local(None), request("/metrics")), None);
        let right = "Bearer 0123456789abcdef";
        let twice = request("/metrics")
            .header(AUTHORIZATION, right)
            .header(AUTHORIZATION, right);
        assert_eq!(asked(&gate, twice), refused);
    }

    #[test]
    fn only_reading_is_allowed() {
        for (method, outcome) in [
            ("GET", None),
            ("HEAD", None),
            ("POST", Some(StatusCode::METHOD_NOT_ALLOWED)),
            ("OPTIONS", Some(StatusCode::METHOD_NOT_ALLOWED)),
            ("get", Some(StatusCode::METHOD_NOT_ALLOWED)),
        ] {
            let request = Request::builder().method(method).uri("/metrics");
            assert_eq!(
                asked(&local(None), request.header(HOST, "localhost")),
                outcome,
                "{method}"
            );
        }
    }

    #[test]
    fn a_request_says_once_by_which_name_it_comes() {
        let misdirected = Some(StatusCode::MISDIRECTED_REQUEST);
        let bad = Some(StatusCode::BAD_REQUEST);
        let gate = local(None);
        let request = |hosts: &[&str]| {
            let request = Request::get("/healthz");
            hosts
                .iter()
                .fold(request, |request, host| request.header(HOST, *host))
        };
        assert_eq!(asked(&gate, request(&["127.0.0.1:9180"])), None);
        assert_eq!(asked(&gate, request(&["evil.example"])), misdirected);
        assert_eq!(asked(&gate, request(&[])), bad);
        assert_eq!(asked(&gate, request(&["localhost", "localhost"])), bad);
        let old = |hosts: &[&str]| request(hosts).version(Version::HTTP_10);
        assert_eq!(asked(&gate, old(&[])), None);
        assert_eq!(asked(&gate, old(&["evil.example"])), misdirected);
        let whole = Request::get("http://evil.example/healthz").header(HOST, "localhost");
        assert_eq!(asked(&gate, whole), misdirected);
        let unix = Gate {
            names: Names::Any,
            token: None,
        };
        assert_eq!(asked(&unix, request(&["evil.example"])), None);
    }
}
