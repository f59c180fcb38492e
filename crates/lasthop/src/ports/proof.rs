//! Trying pairs before requests use them: a handshake on each, here and not on a worker.
//!
//! A target that is this host but not in 127/8 may be rewritten on the way by a local DNAT rule (a published container
//! port), and then the answer to a loopback source is lost: the handshake never ends. Such a pair is condemned. An app
//! that refuses proves nothing, because it may just be starting.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lasthop_kernel::connect::{self, ConnectFault, Origin};
use lasthop_kernel::socket::reset_on_close;
use lasthop_ports::ledger::Proof;
use lasthop_ports::{HostPorts, Ledger, PlannedPair};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::account::Account;
use super::reading;
use super::watcher::PERIOD;

/// Pairs with room that are to be known ahead of need.
const AHEAD: usize = 4;

/// How long a handshake on one host may take. It takes microseconds; one whose first packet was dropped, because the app
/// was busy, is repeated after a second.
const HANDSHAKE_MAX: Duration = Duration::from_millis(1200);

/// Pairs that are passed over at once because others have all their ports.
const PASSED_OVER_MAX: usize = 256;

/// Ports by their numbers that are tried where the kernel gives none.
const NAMED_MAX: u32 = 32;

/// Condemned pairs in a row after which no more are tried for a while: what loses one loses all.
const CONDEMNED_MAX: u32 = 3;

/// That while.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// After a refusal nothing is learnt by asking again at once.
const REFUSED: Duration = Duration::from_millis(200);

/// How far the proofs of one ledger have come.
#[derive(Debug)]
pub(super) struct Proofs {
    condemned: u32,
    not_before: Option<Instant>,
    /// When condemned pairs are tried again, where there are any.
    reprieve: Option<Instant>,
    /// Pairs without a port for a handshake, not to be tried again for a while.
    passed_over: Vec<u32>,
    passed_over_since: Instant,
}

impl Proofs {
    pub(super) fn new() -> Self {
        Self {
            condemned: 0,
            not_before: None,
            reprieve: None,
            passed_over: Vec::new(),
            passed_over_since: Instant::now(),
        }
    }

    /// Tries the pair that a request doubts, then more of them until enough are known to work.
    pub(super) async fn go_on(&mut self, account: &Account) {
        let ledger = account.ledger();
        if let Some(number) = account.take_doubt()
            && ledger.proof(number) == Proof::Works
        {
            self.try_doubted(ledger, number).await;
        }
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            return;
        }
        if self.reprieve.is_some_and(|then| Instant::now() >= then) {
            // A rule that is still there costs three handshakes a minute. One that is gone must not cost the pairs for good.
            self.reprieve = None;
            ledger.reprieve();
        }
        if self.passed_over_since.elapsed() > PERIOD {
            self.passed_over.clear();
            self.passed_over_since = Instant::now();
        }
        let missing = AHEAD.saturating_sub(ledger.proven_with_room());
        let unknown = match missing {
            0 => Vec::new(),
            missing => ledger.to_be_proven(missing + self.passed_over.len()),
        };
        for number in unknown {
            if self.passed_over.contains(&number) {
                continue;
            }
            match self.try_pair(ledger, number).await {
                Tried::Works | Tried::Condemned => {}
                Tried::Full if self.passed_over.len() < PASSED_OVER_MAX => {
                    self.passed_over.push(number);
                }
                Tried::Full | Tried::Later => {
                    self.not_before = Some(Instant::now() + REFUSED);
                    return;
                }
            }
            if self.condemned >= CONDEMNED_MAX {
                self.condemned = 0;
                self.not_before = Some(Instant::now() + GIVEN_UP);
                return;
            }
            if account.is_doubted() {
                // That is more urgent: requests wait for it.
                return;
            }
        }
    }

    /// Tries a pair that worked and on which a request now gets no answer.
    async fn try_doubted(&mut self, ledger: &Ledger, number: u32) {
        match self.try_pair(ledger, number).await {
            Tried::Condemned => {}
            // Those that get no answer have all its ports, and no answer is an answer.
            Tried::Full if !is_busy(&ledger.planned(number)) => {
                self.condemn(ledger, number, ConnectFault::TimedOut);
            }
            Tried::Full | Tried::Works | Tried::Later => return,
        }
        // What has changed has changed for all of them.
        ledger.forget_proofs();
    }

    async fn try_pair(&mut self, ledger: &Ledger, number: u32) -> Tried {
        let pair = ledger.planned(number);
        if is_busy(&pair) {
            return Tried::Later;
        }
        match handshake(ledger, &pair).await {
            Ok(()) => {
                self.condemned = 0;
                ledger.set_proof(number, Proof::Works);
                Tried::Works
            }
            Err(ConnectFault::SourcePorts) => Tried::Full,
            Err(fault) if says_nothing(fault) => Tried::Later,
            Err(ConnectFault::TimedOut) if is_busy(&pair) => Tried::Later,
            Err(fault) => {
                self.condemn(ledger, number, fault);
                Tried::Condemned
            }
        }
    }

    fn condemn(&mut self, ledger: &Ledger, number: u32, fault: ConnectFault) {
        // The first says it all; the others are tried to be sure.
        if self.condemned == 0 {
            tracing::warn!(
                pair = %ledger.planned(number),
                ?fault,
                "a spread pair of addresses does not work and is not used for a minute; is there a local DNAT rule, or \
                 a firewall that knows 127.0.0.1 only?"
            );
        }
        ledger.set_proof(number, Proof::Condemned);
        self.reprieve.get_or_insert(Instant::now() + GIVEN_UP);
        self.condemned += 1;
    }
}

/// What came of trying a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Works,
    Condemned,
    /// Others have all its ports.
    Full,
    /// Nothing, now.
    Later,
}

/// Whether the app has as many connections waiting as it takes: then the kernel drops the first packet of more, and no
/// answer says nothing about the pair.
fn is_busy(pair: &PlannedPair) -> bool {
    let listener = reading::listener(pair.destination);
    matches!(listener, Ok(Some(listener)) if listener.queue > listener.backlog)
}

/// Failures that are the app's or the host's of this moment, and not the pair's.
fn says_nothing(fault: ConnectFault) -> bool {
    matches!(
        fault,
        ConnectFault::Refused | ConnectFault::Descriptors | ConnectFault::Memory
    )
}

/// A handshake from a port of the kernel's choice, or from one by its number where a neighbour has bound them all.
async fn handshake(ledger: &Ledger, pair: &PlannedPair) -> Result<(), ConnectFault> {
    let mut result = handshake_from(pair.destination, origin(pair, None)).await;
    if result == Err(ConnectFault::SourcePorts) && pair.bound {
        let HostPorts {
            range, reserved, ..
        } = ledger.host();
        let ports = (0..NAMED_MAX).filter_map(|n| reserved.nth_free(range, n));
        for port in ports {
            result = handshake_from(pair.destination, origin(pair, Some(port))).await;
            if result != Err(ConnectFault::SourcePorts) {
                break;
            }
        }
    }
    result
}

async fn handshake_from(target: SocketAddr, origin: Origin) -> Result<(), ConnectFault> {
    let stream = connect::tcp(target, origin).map_err(|error| error.fault())?;
    let of_runtime = |error: io::Error| ConnectFault::of(connect::Step::Socket, &error);
    let stream = TcpStream::from_std(stream).map_err(of_runtime)?;
    match timeout(HANDSHAKE_MAX, stream.writable()).await {
        Ok(writable) => writable.map_err(of_runtime)?,
        Err(_elapsed) => return Err(ConnectFault::TimedOut),
    }
    connect::tcp_finish(&stream).map_err(|error| error.fault())?;
    if matches!(origin, Origin::Port { .. }) {
        // A port by its number must not rest in TIME_WAIT. Where that fails, one does.
        let _ = reset_on_close(&stream, true);
    }
    Ok(())
}

/// How the kernel is told of a pair, and of a port where it is not to choose one.
pub fn origin(pair: &PlannedPair, port: Option<u16>) -> Origin {
    match (pair.source, port) {
        (Some(ip), Some(port)) if pair.bound => Origin::Port {
            ip,
            port,
            foreign: pair.any_ip,
        },
        (Some(ip), None) if pair.bound => Origin::Address {
            ip,
            foreign: pair.any_ip,
        },
        _ => Origin::Kernel,
    }
}
