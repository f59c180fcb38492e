//! What each field name is to a proxy, found from its length, its first byte and one comparison
//! without case, eight bytes at a time.
//!
//! One table, so that a name cannot mean one thing to framing and another to serialising. What
//! happens to a kind is not decided here.

use crate::syntax::{folded, is_spelled, reads_as};

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// End-to-end, and none of our business.
    Other,
    /// End-to-end by itself, but named by `Connection`: for this hop only (RFC 9110 section 7.6.1).
    Nominated,
    /// A name that a CGI or WSGI app cannot tell from one that means something here, since it reads
    /// `_` as `-`: `X_Forwarded_For`. Both become the variable `HTTP_X_FORWARDED_FOR`, and which
    /// one wins is chance.
    ///
    /// And `Proxy`, which becomes `HTTP_PROXY`.
    Shadow,
    /// The same for framing: `Content_Length`, `Transfer_Encoding`.
    FramingShadow,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Keep-Alive`.
    KeepAlive,
    /// `TE`.
    Te,
    /// `Upgrade`.
    Upgrade,
    /// For this hop and without effect here: `Proxy-Connection`, `HTTP2-Settings`,
    /// `Proxy-Authenticate`, `Proxy-Authorization`, `Proxy-Authentication-Info`. The last three
    /// speak to a proxy that the client chose (RFC 9110 section 11.7); this one was chosen by the
    /// host, and the credentials are not the app's to see.
    HopByHop,
    /// `Expect`.
    Expect,
    /// `Content-Type`.
    ContentType,
    /// `Date`.
    Date,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// Any other field whose name begins with `X-Forwarded`.
    XForwardedOther,
    /// `X-Real-IP`.
    XRealIp,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `Via`.
    Via,
    /// `X-Request-ID`: end-to-end, unless this proxy sets it.
    XRequestId,
}

impl Kind {
    /// The kind of a field with this name, which is a token.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let (canonical, kind) = Self::candidate(name);
        if is_spelled(name, canonical) {
            return kind;
        }
        // Of the names that mean nothing here only those that begin like one that does can mean it after all.
        if canonical.is_empty() && name.first().map_or(0, |&byte| folded(byte)) != b'x' {
            return Self::Other;
        }
        Self::by_prefix_or_underscores(name, canonical, kind)
    }

    /// The one name of this length and first byte that means something here, in lower case, and what it means.
    fn candidate(name: &[u8]) -> (&'static [u8], Self) {
        match (name.len(), name.first().map_or(0, |&byte| folded(byte))) {
            (2, b't') => (b"te", Self::Te),
            (3, b'v') => (b"via", Self::Via),
            (4, b'h') => (b"host", Self::Host),
            (4, b'd') => (b"date", Self::Date),
            // An app that turns fields into environment variables makes `HTTP_PROXY` of it, and
            // then every client may choose its proxy ("httpoxy").
            (5, b'p') => (b"proxy", Self::Shadow),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (9, b'f') => (b"forwarded", Self::Forwarded),
            (9, b'x') => (b"x-real-ip", Self::XRealIp),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::KeepAlive),
            (12, b'c') => (b"content-type", Self::ContentType),
            (12, b'x') => (b"x-request-id", Self::XRequestId),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (14, b'h') => (b"http2-settings", Self::HopByHop),
            (15, b'x') => (b"x-forwarded-for", Self::XForwardedFor),
            (16, b'x') => (b"x-forwarded-host", Self::XForwardedHost),
            (16, b'p') => (b"proxy-connection", Self::HopByHop),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Self::XForwardedProto),
            (18, b'p') => (b"proxy-authenticate", Self::HopByHop),
            (19, b'p') => (b"proxy-authorization", Self::HopByHop),
            (25, b'p') => (b"proxy-authentication-info", Self::HopByHop),
            _ => (b"", Self::Other),
        }
    }

    /// The rarer ways to mean something: an underscore for a hyphen, and `X-Forwarded` in front.
    #[cold]
    fn by_prefix_or_underscores(name: &[u8], canonical: &[u8], kind: Self) -> Self {
        let reads_as_candidate = !canonical.is_empty() && reads_as(name, canonical);
        let kind = if reads_as_candidate {
            kind
        } else if name
            .get(..11)
            .is_some_and(|prefix| reads_as(prefix, b"x-forwarded"))
        {
            Self::XForwardedOther
        } else {
            return Self::Other;
        };
        // No name that means something here has an underscore.
        if !name.contains(&b'_') {
            return kind;
        }
        match kind {
            Self::ContentType => Self::Other,
            Self::ContentLength | Self::TransferEncoding => Self::FramingShadow,
            _ => Self::Shadow,
        }
    }

    /// Whether `Connection` may take a field of this kind away. Host, framing and forwarding it may
    /// not: a client that names `X-Forwarded-For` there would else hide its address from the app.
    pub(crate) fn is_removable(self) -> bool {
        const PROTECTED: KindSet = KindSet::of(&[
            Kind::Host,
            Kind::ContentLength,
            Kind::TransferEncoding,
            Kind::FramingShadow,
            Kind::XForwardedFor,
            Kind::XForwardedHost,
            Kind::XForwardedProto,
            Kind::XForwardedOther,
            Kind::XRealIp,
            Kind::Forwarded,
            Kind::Via,
        ]);
        !PROTECTED.has(self)
    }
}

/// A set of kinds, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KindSet(u32);

impl KindSet {
    /// The set of these kinds.
    pub(crate) const fn of(kinds: &[Kind]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < kinds.len() {
            bits |= 1 << kinds[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// This set and one kind more.
    pub(crate) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// Whether the kind is in the set.
    pub(crate) const fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }
}
