//! The proxy's own words: what a client gets instead of an answer from its app.
//!
//! A status, one line of text and `Proxy-Status` (RFC 9209). Where bytes of the app's answer have
//! reached the client already there is nothing to say any more: the connection ends so that what
//! was sent cannot be taken for whole.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::task::{Poll, ready};

use lasthop_http1::Version;

use super::account::Account;
use super::client::Client;
use super::fault::{Blame, Fault, Gone};
use super::forward::After;
use super::report;
use super::request::Manner;
use super::site::ListenerSite;
use crate::relay::Outbox;

/// Answers for the app, or ends what has begun.
pub(super) async fn instead(
    client: &mut Client,
    listener: &ListenerSite,
    manner: &Manner,
    account: &mut Account,
    fault: Fault,
) -> After {
    let status = fault
        .status()
        .filter(|_| !manner.is_torn && !manner.is_answered);
    report::fault(client, listener, manner, (&fault, status));
    account.fails(&fault, manner, status);
    let Some(status) = status else {
        let not_reading = matches!(fault, Fault::ClientGone(Gone::NotReading));
        let torn = manner.is_torn && fault.status().is_some();
        return if not_reading || torn {
            After::Reset
        } else {
            After::Close
        };
    };
    let may_go_on = manner.keep_alive
        && manner.is_read
        && !client.half_closed
        && !matches!(fault, Fault::Request(_))
        && !client.watch.is_draining();
    let with_details = listener.site.config.server.error_details;
    let answer = {
        let date = listener.site.date.text();
        compose(status, &fault, with_details, manner, (may_go_on, &date))
    };
    let mut outbox = Outbox::new(&listener.site.buffers);
    outbox.push(answer.as_bytes());
    client.watch.due_in(listener.settings.body_timeout);
    let sent = poll_fn(|cx| {
        if let Poll::Ready(sent) = outbox.poll_flush(cx, &mut client.stream) {
            return Poll::Ready(sent.is_ok());
        }
        ready!(client.watch.poll_deadline(cx));
        Poll::Ready(false)
    })
    .await;
    match (sent, may_go_on) {
        (false, _) => After::Reset,
        (true, true) => After::Next,
        (true, false) if client.half_closed => After::Close,
        (true, false) => After::Linger,
    }
}

fn compose(
    status: u16,
    fault: &Fault,
    with_details: bool,
    manner: &Manner,
    (may_go_on, date): (bool, &str),
) -> String {
    let reason = reason_phrase(status);
    // What is wrong with its request a client may always know; what is wrong behind us, addresses
    // and paths included, only if the operator says so.
    let body = if with_details || fault.blame() == Blame::Client {
        format!("{status} {reason}: {fault}\n")
    } else {
        format!("{status} {reason}\n")
    };
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nCache-Control: no-store\r\nProxy-Status: lasthop; error={}",
        body.len(),
        fault.error_type(),
    );
    if with_details {
        push_details(&mut answer, &fault.to_string());
    }
    answer.push_str("\r\n");
    if let Some(seconds) = fault.retry_after() {
        // Writing to a String cannot fail.
        let _ = write!(answer, "Retry-After: {seconds}\r\n");
    }
    if status == 405 {
        // RFC 9110 section 15.5.6 asks for Allow; what else an app allows is not ours to say.
        answer.push_str("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    match (may_go_on, manner.version) {
        (false, _) => answer.push_str("Connection: close\r\n"),
        (true, Version::Http10) => answer.push_str("Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    answer.push_str("\r\n");
    if !manner.is_head {
        answer.push_str(&body);
    }
    answer
}

/// `details` as a structured field string (RFC 9651 section 3.3.3): visible ASCII, `"` and `\` escaped.
fn push_details(answer: &mut String, details: &str) {
    answer.push_str("; details=\"");
    for character in details.chars() {
        match character {
            '"' | '\\' => answer.extend(['\\', character]),
            ' '..='~' => answer.push(character),
            _ => answer.push('?'),
        }
    }
    answer.push('"');
}

/// The phrases of RFC 9110 section 15 for the statuses of [`Fault::status`].
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lasthop_http1::refusal::Refusal;

    #[test]
    fn details_are_escaped_and_hidden_on_demand() {
        let fault = Fault::Request(Refusal::new(400, "a \"quoted\" \\ reason"));
        let manner = Manner::default();
        let shown = compose(400, &fault, true, &manner, (false, "today"));
        assert!(shown.contains(
            "Proxy-Status: lasthop; error=http_request_error; details=\"a \\\"quoted\\\" \\\\ reason\"\r\n"
        ));
        assert!(shown.ends_with("400 Bad Request: a \"quoted\" \\ reason\n"));
        let hidden = compose(400, &fault, false, &manner, (false, "today"));
        assert!(hidden.contains("Proxy-Status: lasthop; error=http_request_error\r\n"));
        assert!(
            hidden.ends_with("400 Bad Request: a \"quoted\" \\ reason\n"),
            "its own mistake"
        );
        let inside = Fault::BadAnswer("a secret of the app");
        assert!(!compose(502, &inside, false, &manner, (false, "today")).contains("secret"));
    }

    #[test]
    fn a_head_request_gets_the_length_and_no_body() {
        let manner = Manner {
            is_head: true,
            ..Manner::default()
        };
        let answer = compose(404, &Fault::NoRoute, true, &manner, (true, "today"));
        assert!(answer.ends_with("\r\n\r\n"));
        let body = "404 Not Found: no route for this host and path\n";
        assert!(
            answer.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{answer}"
        );
    }
}
