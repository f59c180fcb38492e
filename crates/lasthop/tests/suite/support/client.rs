//! A client that says exactly the bytes it is told, and reads answers strictly.

use std::time::Duration;

use super::wire::{Cut, Wire};
use super::{Address, Ending, Framing, Head, shown};

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The 1xx heads that came before it.
    pub(crate) interim: Vec<Head>,
    pub(crate) head: Head,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `error=` of `Proxy-Status`; the field must be there and be ours (RFC 9209 section 2).
    pub(crate) fn error(&self) -> String {
        let value = self
            .field("Proxy-Status")
            .unwrap_or_else(|| panic!("no Proxy-Status in {:?}: {}", self.head, self.text()));
        value
            .strip_prefix("lasthop; error=")
            .unwrap_or_else(|| panic!("Proxy-Status: {value}"))
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The `details=` of `Proxy-Status`, unquoted.
    pub(crate) fn details(&self) -> String {
        let value = self.field("Proxy-Status").unwrap_or_default();
        let (_, details) = value
            .split_once("; details=\"")
            .unwrap_or_else(|| panic!("no details in Proxy-Status: {value}"));
        details
            .strip_suffix('"')
            .unwrap_or_else(|| panic!("Proxy-Status: {value}"))
            .to_owned()
    }
}

/// An answer that ended before it was whole.
#[derive(Debug)]
pub(crate) struct CutAnswer {
    /// Absent when not even the head was whole.
    pub(crate) head: Option<Head>,
    pub(crate) cut: Cut,
}

/// One connection to the proxy.
pub(crate) struct Client(pub(crate) Wire);

impl Client {
    pub(crate) fn connect(address: &Address) -> Self {
        let socket = address.socket();
        socket
            .connect(&address.sock_addr())
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self(Wire::new(socket))
    }

    /// A second handle on the same connection, to send from another thread.
    pub(crate) fn twin(&self) -> Self {
        Self(self.0.twin())
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.send(bytes.as_ref()).expect("the proxy reads");
    }

    /// Sends, and does not mind when the proxy has stopped reading.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.send(bytes.as_ref())
    }

    pub(crate) fn finish_sending(&self) {
        self.0.finish_sending();
    }

    /// The next head, a 1xx one too.
    pub(crate) fn head(&mut self) -> Head {
        self.0.head().unwrap_or_else(|cut| {
            panic!("{:?} instead of a head; {}", cut.ending, shown(&cut.body))
        })
    }

    /// The answer to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method)
            .unwrap_or_else(|cut| panic!("no whole answer: {cut:?}"))
    }

    pub(crate) fn try_answer_to(&mut self, method: &str) -> Result<Answer, CutAnswer> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.0.head().map_err(|cut| CutAnswer { head: None, cut })?;
            if head.status() >= 200 || head.status() == 101 {
                break head;
            }
            assert!(
                !head.has("Content-Length") && !head.has("Transfer-Encoding"),
                "framing fields in {head:?} (RFC 9110 section 15.2)"
            );
            interim.push(head);
            assert!(interim.len() < 1000, "interim answers without end");
        };
        let framing = head.answer_framing(method);
        match self.0.body(framing) {
            Ok(body) => Ok(Answer {
                interim,
                head,
                framing,
                body: body.bytes,
                trailers: body.trailers,
            }),
            Err(cut) => Err(CutAnswer {
                head: Some(head),
                cut,
            }),
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// `GET target` and its answer.
    pub(crate) fn request(&mut self, target: &str) -> Answer {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: site.test\r\n\r\n"))
    }

    /// `GET target` of this host, and its answer.
    pub(crate) fn request_as(&mut self, host: &str, target: &str) -> Answer {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Waits until the proxy closes, without a further byte.
    pub(crate) fn ending(&mut self) -> Ending {
        let (bytes, ending) = self.0.rest();
        assert!(bytes.is_empty(), "bytes before the end: {}", shown(&bytes));
        ending
    }

    /// Whether neither a byte nor an end comes for so long.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.0.is_quiet_for(time)
    }
}
