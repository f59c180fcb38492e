//! What can be wrong with an exchange: one flaw, put into scripts that are sound.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::grammar::{Body, Epilogue, Exchange};
use super::*;

/// Requests that are refused, all for their head.
const BAD_REQUESTS: &[&str] = &[
    "GET /9 HTTP/1.1\nHost: a\n\n",
    "GET /9 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /9 HTTP/3\r\nHost: a\r\n\r\n",
    "POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "\x16\x03\x01\x02",
];

/// Answers that are refused, all for their head.
const BAD_ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 2xx OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "junk",
];

/// One flaw. Numbers of requests and places are drawn as shares of what there is.
#[derive(Clone, Debug)]
pub(super) enum Flaw {
    /// The client's last request is malformed.
    BadRequest(&'static str),
    /// The client ends somewhere in what it says.
    ClientStops(Index, Ending),
    /// An answer is malformed.
    BadAnswer(Index, &'static str),
    /// The app ends somewhere in an answer.
    AnswerStops(Index, Index, Ending),
    /// The app closes a connection at the first byte of a request, each time.
    NeverAnswers(Index, Ending),
    /// The same, but only the first time.
    AnswersLater(Index, Ending),
    /// The app closes its connection behind an answer, without a word.
    LeavesUnasked(Index, Ending),
    /// The app answers at the head, and reads on.
    AnswersEarly(Index),
    /// The app says something more behind its answer to the last request.
    SaysMore,
}

pub(super) fn ending() -> impl Strategy<Value = Ending> {
    select(&[Ending::Half, Ending::Close, Ending::Reset][..])
}

/// `exchange` with `flaw`, which takes the place of its epilogue.
pub(super) fn with(exchange: &Exchange, flaw: &Flaw) -> Case {
    let sound = Exchange {
        epilogue: Epilogue::Stay,
        ..exchange.clone()
    };
    let mut case = sound.case();
    let count = case.app.len();
    match flaw {
        Flaw::BadRequest(bad) => case.client.push(send(bad)),
        Flaw::ClientStops(at, ending) => stop(&mut case.client, *at, *ending),
        Flaw::BadAnswer(which, bad) => case.app[which.index(count)] = vec![answers(bad)],
        Flaw::AnswerStops(which, at, ending) => {
            let which = which.index(count);
            let (_, answer) = &exchange.pairs[which];
            // An orderly end is what such an answer ends with: nobody can tell that it came too soon.
            let ending = match answer.body {
                Body::UntilClose => Ending::Reset,
                _ => *ending,
            };
            stop(&mut case.app[which][0], *at, ending);
        }
        Flaw::NeverAnswers(which, ending) => {
            case.app[which.index(count)] = vec![vec![Step::Finish(*ending)]];
        }
        Flaw::AnswersLater(which, ending) => {
            case.app[which.index(count)].insert(0, vec![Step::Finish(*ending)]);
        }
        Flaw::LeavesUnasked(which, ending) => {
            let steps = &mut case.app[which.index(count)][0];
            steps.retain(|step| !matches!(step, Step::Finish(_)));
            steps.push(Step::Finish(*ending));
        }
        Flaw::AnswersEarly(which) => {
            for step in &mut case.app[which.index(count)][0] {
                if *step == Step::Wait(Until::Whole) {
                    *step = Step::Wait(Until::Body(0));
                }
            }
        }
        Flaw::SaysMore => {
            let steps = &mut case.app[count - 1][0];
            let at = steps.len() - usize::from(matches!(steps.last(), Some(Step::Finish(_))));
            steps.insert(
                at,
                send("HTTP/1.1 200 Surplus\r\nContent-Length: 0\r\n\r\n"),
            );
        }
    }
    case
}

/// Ends `steps` after a share of their bytes.
fn stop(steps: &mut Vec<Step>, at: Index, ending: Ending) {
    let mut left = at.index(bytes_said([&*steps]).max(1));
    let mut kept = Vec::new();
    for step in steps.drain(..) {
        match step {
            Step::Send(mut bytes) if bytes.len() > left => {
                bytes.truncate(left);
                kept.push(Step::Send(bytes));
                break;
            }
            Step::Send(bytes) => {
                left -= bytes.len();
                kept.push(Step::Send(bytes));
            }
            Step::Finish(_) => break,
            Step::Wait(_) => kept.push(step),
        }
    }
    kept.push(Step::Finish(ending));
    *steps = kept;
}

pub(super) fn bad_request() -> impl Strategy<Value = Flaw> {
    select(BAD_REQUESTS).prop_map(Flaw::BadRequest)
}

pub(super) fn client_stops() -> impl Strategy<Value = Flaw> {
    (any::<Index>(), ending()).prop_map(|(at, ending)| Flaw::ClientStops(at, ending))
}

pub(super) fn bad_answer() -> impl Strategy<Value = Flaw> {
    (any::<Index>(), select(BAD_ANSWERS)).prop_map(|(which, bad)| Flaw::BadAnswer(which, bad))
}

pub(super) fn answer_stops() -> impl Strategy<Value = Flaw> {
    (any::<Index>(), any::<Index>(), ending())
        .prop_map(|(which, at, ending)| Flaw::AnswerStops(which, at, ending))
}

pub(super) fn dies() -> impl Strategy<Value = Flaw> {
    let flaws = [Flaw::NeverAnswers, Flaw::AnswersLater, Flaw::LeavesUnasked];
    (select(&[0, 1, 2][..]), any::<Index>(), ending())
        .prop_map(move |(flaw, which, ending)| flaws[flaw](which, ending))
}

pub(super) fn answers_early() -> impl Strategy<Value = Flaw> {
    any::<Index>().prop_map(Flaw::AnswersEarly)
}
