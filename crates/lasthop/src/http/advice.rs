//! What to do about a fault, in words for the operator's log.
//!
//! Beside `fault`, which says what it is: advice is read by people, names keys of the configuration,
//! and may look at files and sysctls of this host. So it is made for a line of the log, never for
//! every request.

use std::borrow::Cow;

use super::fault::{Cut, Fault};

/// What would help against `fault`; none where a client left, which nobody can help.
pub(super) fn fix(fault: &Fault) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match fault {
        Fault::Request(refusal) => match refusal.status {
            405 => "the client takes this for a forward proxy: nothing to change here",
            413 => "raise body_size_max of the route if such bodies are wanted",
            414 => "the client has to shorten its URL; the bound is fixed",
            431 => {
                "raise header_size_max or headers_max of the listener if such heads are wanted; \
                 most often a client has collected too many cookies"
            }
            501 => "the client has to send its body with Content-Length or as plain chunks",
            505 => "the client has to speak HTTP/1.1",
            _ => "the client has to be mended: passed on, its request could mean two things",
        },
        Fault::SlowHead => "raise header_timeout of the listener if clients that slow are wanted",
        Fault::SlowBody => "raise body_timeout of the listener if clients that slow are wanted",
        Fault::CutBody => "the client broke off its upload: nothing to change here",
        Fault::NoRoute => {
            "add a [[route]] for this host and path, or one without host and path for all that is left"
        }
        Fault::Connect(error) => return error.fix().map(Cow::Owned),
        Fault::ResponseTimeout(_) => {
            "find out what keeps the application; raise response_timeout of the upstream if it may \
             take that long"
        }
        Fault::AppBodyTimeout(_) => {
            "find out what keeps the application; raise body_timeout of the upstream if it may be \
             silent for that long"
        }
        Fault::BadAnswer(_) => {
            "mend the application: what it sent is no valid answer (ask it directly, with curl -v)"
        }
        Fault::CutAnswer(Cut::Closed | Cut::Failed(_)) => {
            "look into the application's log at this time: it crashed, was restarted, or ended a \
             worker that took too long (gunicorn: --timeout)"
        }
        Fault::ClientGone(_) => return None,
    }))
}
