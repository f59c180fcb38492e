//! From the bytes of a head to a request that is ready for its app: parsed, routed, written anew.
//!
//! All of it happens in one go over the borrowed bytes, without an await in between; what the rest
//! of the exchange needs to know is kept in [`Request`].

use std::rc::Rc;

use lasthop_http1::Version;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::forwarding::Forwarding;
use lasthop_http1::refusal::Refusal;
use lasthop_http1::request::{self, RequestBody};

use super::account::Account;
use super::body::Body;
use super::client::Client;
use super::fault::Fault;
use super::site::ListenerSite;
use super::upload::Upload;
use crate::transport::Stream;
use crate::upstream::Upstream;

/// What is known of the request before, and even if, it is understood: how to answer it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// What the client speaks.
    pub(super) version: Version,
    /// HEAD: the answer has no body.
    pub(super) is_head: bool,
    /// Whether the client would like to go on after this request.
    pub(super) keep_alive: bool,
    /// Index of the route, once there is one.
    pub(super) route: Option<usize>,
    /// The request's last byte has been read, so what follows is the next request.
    pub(super) is_read: bool,
    /// Bytes of an answer may have reached the client.
    pub(super) is_answered: bool,
    /// Part of an interim answer has reached the client and the rest has not: nothing of ours can
    /// follow it.
    pub(super) is_torn: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            version: Version::Http11,
            is_head: false,
            keep_alive: false,
            route: None,
            is_read: false,
            is_answered: false,
            is_torn: false,
        }
    }
}

/// A request on its way to its app.
#[derive(Debug)]
pub(super) struct Request {
    /// The app it goes to.
    pub(super) upstream: Rc<Upstream>,
    /// Sending it twice does what sending it once does (RFC 9110 section 9.2.2).
    pub(super) is_idempotent: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// The protocol it asks to switch to.
    pub(super) upgrade: Option<Box<str>>,
    /// Head and body for the app.
    pub(super) upload: Upload,
}

/// Takes the head of `length` bytes from the client's input; what follows it stays there.
///
/// # Errors
/// [`Fault::Request`] for what RFC 9112 does not allow, [`Fault::NoRoute`].
pub(super) fn take(
    client: &mut Client,
    listener: &ListenerSite,
    length: usize,
    manner: &mut Manner,
    account: &mut Account,
) -> Result<Request, Fault> {
    let Some(mut input) = client.input.take() else {
        return Err(Refusal::new(400, "no head").into());
    };
    let taken = read(&input.filled()[..length], client, listener, manner, account);
    // Whatever became of the head, the bytes behind it are the body's or the next request's.
    input.consume(length);
    if !input.is_empty() {
        client.input = Some(input);
    }
    taken
}

/// Parses, routes and rewrites a head.
fn read(
    bytes: &[u8],
    client: &Client,
    listener: &ListenerSite,
    manner: &mut Manner,
    account: &mut Account,
) -> Result<Request, Fault> {
    let site = &listener.site;
    let mut storage = FieldStorage::default();
    let head = request::parse(bytes, &mut storage, &listener.limits)?;
    manner.version = head.version;
    manner.is_head = head.is_head();
    manner.keep_alive = head.keep_alive;
    manner.is_read = head.body.is_empty();
    let received_id = head.request_id().filter(|_| client.peer.trusted);
    account.describe(client, &head, received_id);
    // `OPTIONS *` is about the server as a whole: whoever has its root.
    let path = match head.path() {
        "*" => "/",
        path => path,
    };
    let found = site
        .routes
        .find(head.host(), path.as_bytes())
        .ok_or(Fault::NoRoute)?;
    manner.route = Some(found);
    let route = &site.config.routes[found];
    let upstream = &site.upstreams[route.upstream];
    let (body, declared) = match head.body {
        RequestBody::None => (Body::none(), 0),
        RequestBody::Sized(length) => (Body::sized(length), length),
        RequestBody::Chunked => (Body::chunked(true), 0),
    };
    let buffer_bytes = upstream.settings.buffer.request;
    let mut upload = Upload::new(body, &site.buffers, buffer_bytes, route.body_size_max);
    upload.check_size(declared)?;
    let host_fallback = host_fallback(&client.stream, head.authority().is_none());
    // Spelled only where the app is to see it.
    let made_id = upstream.settings.request_id.then(|| account.id().hex());
    let made_id = made_id.as_ref().and_then(|hex| str::from_utf8(hex).ok());
    let request_id = made_id.map(|made_id| received_id.unwrap_or(made_id));
    let forwarding = Forwarding {
        peer_ip: client.peer.ip.map(|_| &*client.peer.text),
        proto: "http",
        trusted: client.peer.trusted,
        via: upstream.settings.via,
        forwarded: upstream.settings.forwarded,
        request_id,
        host_fallback: &host_fallback,
    };
    let mut scratch = site.scratch.borrow_mut();
    scratch.clear();
    request::write(&mut scratch, &head, &forwarding);
    upload.push_head(&scratch);
    Ok(Request {
        upstream: Rc::clone(upstream),
        is_idempotent: head.is_idempotent(),
        expects_continue: head.expects_continue,
        upgrade: head.upgrade.map(Into::into),
        upload,
    })
}

/// What an HTTP/1.0 request without Host meant: the address it was sent to (RFC 9112 section 3.3).
fn host_fallback(stream: &Stream, is_needed: bool) -> String {
    let local = is_needed.then(|| stream.local_addr()).flatten();
    local.map_or_else(String::new, |address| address.to_string())
}
