//! The request path without sockets: a client and an app that follow scripts, and a schedule that says
//! in which pieces and in which order their bytes arrive, and how much each write takes.
//!
//! What HTTP says does not depend on how TCP cuts it. So a [`Case`] (what both sides say, and when) is
//! run under many a [`Schedule`], and what both sides get to see, the [`Outcome`], has to be the same,
//! or to hold what the test says where order matters. Everything is deterministic: no sockets, no
//! timers, no threads, and a clock that stands still until all is quiet. A failing case prints the
//! scripts and the schedule, which together are the whole case.
//!
//! Not simulated: the host (addresses, backlogs, descriptors), and waiting in the queue for a
//! connection; `tests/suite` does that with the real kernel.

mod messages;
mod schedule;
mod script;
mod world;

mod tests;

use messages::Message;
use schedule::Schedule;
use script::Step;

/// What is configured, as far as a request path without a host can tell.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// `buffer.request` of the upstream, in bytes.
    request_buffer: usize,
    /// `buffer.response` of the upstream, in bytes.
    response_buffer: usize,
    /// What the worker may lend before it calls itself crowded, in bytes.
    worker_buffers: usize,
}

/// What client and app say, and when.
#[derive(Clone, Debug)]
struct Case {
    settings: Settings,
    /// The whole life of the client's connection. Request number `n` asks for `/n`, or for
    /// `/n/switch` where the app is going to switch protocols.
    client: Vec<Step>,
    /// Whether request number `n` is a HEAD.
    heads: Vec<bool>,
    /// What the app does with request number `n` each time that it gets it; the last one counts for all
    /// further times.
    app: Vec<Vec<Vec<Step>>>,
}

/// What both sides have got to see once nothing moves any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// The answers, the interim ones as well, as the client understands them.
    answers: Vec<Message>,
    /// What came behind them: bytes of the tunnel, or a head that is not whole.
    to_client: Vec<u8>,
    /// How the client's connection stands.
    client: End,
    /// The connections to the app, in the order in which they were asked for.
    apps: Vec<AppOutcome>,
}

/// What one connection to the app has got to see.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AppOutcome {
    requests: Vec<Message>,
    /// What came behind them.
    rest: Vec<u8>,
    end: End,
}

/// How a connection stands, as the other side can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is open, for more.
    Kept,
    /// It was ended in order. Whether the proxy reads on for a while before it closes is of no
    /// consequence to the other side, and depends on what has arrived by then.
    Orderly,
    /// It was reset.
    Reset,
}

/// Runs `case` until nothing moves any more. Then time passes, and whatever is still there has to leave.
fn simulate(case: &Case, schedule: &Schedule) -> Outcome {
    let mut world = world::World::new(case, schedule);
    world.run();
    let outcome = world.outcome();
    world.let_time_pass();
    outcome
}
