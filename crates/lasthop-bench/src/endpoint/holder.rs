//! The load that holds connections, in a process of its own: `lasthop-bench holder`, a hidden command.
//!
//! It does what the harness ([`super::held`]) says in lines, and says in one line what came of each: `open COUNT FLIGHT
//! MILLISECONDS` opens so many more connections, so many at once, and keeps them; `check ROUND` exchanges over every one
//! what is of that round alone; `request COUNT MILLISECONDS` sends requests, one by one, each over a connection of its own to the proxy and from
//! there to the app; `direct COUNT MILLISECONDS ADDRESS` opens connections to the app itself and closes them. Milliseconds
//! are when to begin no further one. It has a source address of its own, since the ports of one address end at about
//! 28,000, and takes ports with `IP_BIND_ADDRESS_NO_PORT`, so that they are nobody else's loss.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lasthop::demo::app::CLOSING_PATH;
use lasthop::demo::tunnel::UPGRADE;
use lasthop_kernel::{connect, limits, socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::LocalRuntime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{self, AnswerError};
use super::outcomes::Outcomes;
use super::{next_order, runtime, say};
use crate::error::BenchError;

/// How long one connection may take to be opened and answered: longer than a proxy lets a request wait for a connection
/// to the app before it says so.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Connections over which something is under way at once while all are checked.
const CHECKED_AT_ONCE: usize = 64;
/// After so many connections over which nothing came back, the others are not asked.
const CHECK_FAILURES_MAX: usize = 256;
/// Bytes that go through a tunnel and back; they say which tunnel it is.
const PAYLOAD_BYTES: usize = 16;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What a held connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A client that had one answer and may send another request.
    Idle,
    /// An upgraded connection.
    Tunnel,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Tunnel => "tunnel",
        }
    }

    /// What is sent first, and the status of the answer.
    fn opening(self) -> (&'static [u8], u16) {
        match self {
            Self::Idle => (REQUEST, 200),
            Self::Tunnel => (UPGRADE, 101),
        }
    }
}

/// Where the connections of a process go, and what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    pub(crate) address: SocketAddr,
    pub(crate) source: Ipv4Addr,
    pub(crate) kind: Kind,
}

/// What the harness wants next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Open {
        count: usize,
        flight: usize,
        budget: Duration,
    },
    Check {
        round: u32,
    },
    Request {
        count: usize,
        budget: Duration,
    },
    Direct {
        count: usize,
        budget: Duration,
        address: SocketAddr,
    },
}

impl Order {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let milliseconds = |word: &str| word.parse().ok().map(Duration::from_millis);
        match words[..] {
            ["open", count, flight, budget] => Some(Self::Open {
                count: count.parse().ok()?,
                flight: flight.parse().ok()?,
                budget: milliseconds(budget)?,
            }),
            ["check", round] => Some(Self::Check {
                round: round.parse().ok()?,
            }),
            ["request", count, budget] => Some(Self::Request {
                count: count.parse().ok()?,
                budget: milliseconds(budget)?,
            }),
            ["direct", count, budget, address] => Some(Self::Direct {
                count: count.parse().ok()?,
                budget: milliseconds(budget)?,
                address: address.parse().ok()?,
            }),
            _ => None,
        }
    }
}

/// Carries out orders until the standard input ends.
pub(crate) fn serve(errand: &Errand) -> Result<(), BenchError> {
    limits::raise_nofile()?;
    let runtime = runtime()?;
    let mut streams = Vec::new();
    while let Some(line) = next_order() {
        // An order that is none is a mistake of ours; the harness hears of it by the end of this process.
        let Some(order) = Order::parse(&line) else {
            return Err(BenchError::Failed(format!("no order: {line:?}")));
        };
        let outcomes = carry_out(order, errand, &runtime, &mut streams);
        say(&outcomes.to_line())?;
    }
    Ok(())
}

fn carry_out(
    order: Order,
    errand: &Errand,
    runtime: &LocalRuntime,
    streams: &mut Vec<TcpStream>,
) -> Outcomes {
    runtime.block_on(async {
        match order {
            Order::Open {
                count,
                flight,
                budget,
            } => {
                let (opened, outcomes) = open_many(errand, count, flight, budget).await;
                streams.extend(opened);
                outcomes
            }
            Order::Check { round } => check_all(streams, errand, round).await,
            Order::Request { count, budget } => {
                let head = format!("GET {CLOSING_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                one_by_one(
                    errand,
                    errand.address,
                    (head.as_bytes(), 200),
                    count,
                    budget,
                )
                .await
            }
            Order::Direct {
                count,
                budget,
                address,
            } => one_by_one(errand, address, errand.kind.opening(), count, budget).await,
        }
    })
}

/// Opens `count` connections, `flight` at a time, and begins none after `budget`.
async fn open_many(
    errand: &Errand,
    count: usize,
    flight: usize,
    budget: Duration,
) -> (Vec<TcpStream>, Outcomes) {
    let last_begin = Instant::now() + budget;
    let begun = Rc::new(Cell::new(0));
    let outcomes = Rc::new(RefCell::new(Outcomes::default()));
    let mut tasks = JoinSet::new();
    for _ in 0..flight.min(count) {
        let (errand, begun, outcomes) = (*errand, Rc::clone(&begun), Rc::clone(&outcomes));
        tasks.spawn_local(async move {
            let mut streams = Vec::new();
            while begun.get() < count && Instant::now() < last_begin {
                begun.set(begun.get() + 1);
                let opened = timed(&errand, errand.address, errand.kind.opening()).await;
                let mut outcomes = outcomes.borrow_mut();
                match opened {
                    Ok((stream, latency)) => {
                        outcomes.succeeded(latency);
                        streams.push(stream);
                    }
                    Err(error) => outcomes.failed(&error.to_string()),
                }
            }
            streams
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(task) = tasks.join_next().await {
        // An error is a panic of the task, which has said so itself; its connections are missing in the sum.
        all.extend(task.into_iter().flatten());
    }
    let outcomes = outcomes.take();
    (all, outcomes)
}

/// `count` connections, each answered once and closed before the next.
async fn one_by_one(
    errand: &Errand,
    address: SocketAddr,
    opening: (&[u8], u16),
    count: usize,
    budget: Duration,
) -> Outcomes {
    let last_begin = Instant::now() + budget;
    let mut outcomes = Outcomes::default();
    for _ in 0..count {
        if Instant::now() >= last_begin {
            break;
        }
        match timed(errand, address, opening).await {
            Ok((_, latency)) => outcomes.succeeded(latency),
            Err(error) => outcomes.failed(&error.to_string()),
        }
    }
    outcomes
}

/// A connection that had its answer, and how long that took from the connect(2) on.
async fn timed(
    errand: &Errand,
    address: SocketAddr,
    opening: (&[u8], u16),
) -> Result<(TcpStream, Duration), AnswerError> {
    let begun = Instant::now();
    let opened = timeout(ANSWER_DEADLINE, open(errand, address, opening)).await;
    let stream = opened.unwrap_or(Err(AnswerError::Late))?;
    Ok((stream, begun.elapsed()))
}

async fn open(
    errand: &Errand,
    address: SocketAddr,
    (request, status): (&[u8], u16),
) -> Result<TcpStream, AnswerError> {
    let origin = connect::Origin::Address {
        ip: errand.source.into(),
        foreign: false,
    };
    let stream = connect::tcp(address, origin)?;
    let mut stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    connect::tcp_finish(&stream)?;
    // Thousands in TIME_WAIT would be in the way of the next run.
    socket::reset_on_close(&stream, true)?;
    stream.write_all(request).await?;
    answer::read(&mut stream, &mut Vec::new(), status).await?;
    Ok(stream)
}

/// One more request over each idle connection, one echo through each tunnel.
async fn check_all(streams: &mut [TcpStream], errand: &Errand, round: u32) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for (number, some) in streams.chunks_mut(CHECKED_AT_ONCE).enumerate() {
        if outcomes.failure_count() >= CHECK_FAILURES_MAX {
            break;
        }
        let begun = Instant::now();
        let first = number * CHECKED_AT_ONCE;
        // All are asked before the first is listened to: an answer that went astray would show in another one.
        let mut asked = Vec::with_capacity(some.len());
        for (place, stream) in some.iter_mut().enumerate() {
            let payload = payload(errand.source, first + place, round);
            let question: &[u8] = match errand.kind {
                Kind::Idle => REQUEST,
                Kind::Tunnel => &payload,
            };
            asked.push(stream.write_all(question).await);
        }
        for ((place, stream), asked) in some.iter_mut().enumerate().zip(asked) {
            let left = ANSWER_DEADLINE.saturating_sub(begun.elapsed());
            let payload = payload(errand.source, first + place, round);
            let answered = timeout(left, hear(stream, errand.kind, payload));
            let heard = match asked {
                Ok(()) => answered.await.unwrap_or(Err(AnswerError::Late)),
                Err(error) => Err(error.into()),
            };
            match heard {
                Ok(()) => outcomes.succeeded(begun.elapsed()),
                Err(error) => outcomes.failed(&error.to_string()),
            }
        }
    }
    outcomes
}

/// The answer to what was asked, which in a tunnel is `payload`.
async fn hear(
    stream: &mut TcpStream,
    kind: Kind,
    payload: [u8; PAYLOAD_BYTES],
) -> Result<(), AnswerError> {
    if kind == Kind::Idle {
        answer::read(stream, &mut Vec::new(), 200).await?;
        return Ok(());
    }
    let mut back = [0; PAYLOAD_BYTES];
    stream.read_exact(&mut back).await?;
    if back == payload {
        Ok(())
    } else {
        Err(AnswerError::Echo)
    }
}

/// What goes through the tunnel of this number from this source in this round: nothing else of this run does.
fn payload(source: Ipv4Addr, number: usize, round: u32) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    // Five digits for the number of a connection in its process, three for the round: far more than there are.
    let text = format!(
        "{:08x}{number:05x}{:03x}",
        u32::from(source),
        round % 0x1000
    );
    for (to, from) in payload.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written_down() {
        assert_eq!(
            Order::parse("open 1000 64 5000"),
            Some(Order::Open {
                count: 1000,
                flight: 64,
                budget: Duration::from_secs(5)
            })
        );
        assert_eq!(Order::parse("check 2"), Some(Order::Check { round: 2 }));
        for line in [
            "",
            "check",
            "open",
            "open 1 2",
            "request x 5",
            "direct 1 5 here",
        ] {
            assert_eq!(Order::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn no_two_tunnels_carry_the_same() {
        let sources = [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
        let mut all = std::collections::HashSet::new();
        for source in sources {
            for round in [1, 2] {
                all.extend((0..1000).map(|number| payload(source, number, round)));
            }
        }
        assert_eq!(all.len(), 4000);
    }
}
