//! Trying pairs before requests use them: a handshake on each, here and not on a worker.
//!
//! A target that is this host but not in 127/8 may be rewritten on the way by a local DNAT rule (a published container
//! port), and then the answer to a loopback source is lost: the handshake never ends. Such a pair is condemned. An app
//! that refuses proves nothing, because it may just be starting.

use std::io;
use std::time::{Duration, Instant};

use lasthop_kernel::connect::{self, ConnectFault, Origin};
use lasthop_ports::ledger::Proof;
use lasthop_ports::{Ledger, PlannedPair};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Pairs with room that are to be known ahead of need.
const AHEAD: usize = 4;

/// How long a handshake on one host may take. It takes microseconds; a lost one is repeated after a second.
const HANDSHAKE_MAX: Duration = Duration::from_millis(800);

/// Condemned pairs in a row after which no more are tried for a while: what loses one loses all.
const CONDEMNED_MAX: u32 = 3;

/// That while.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// After a refusal nothing is learnt by asking again at once.
const REFUSED: Duration = Duration::from_millis(200);

/// How far the proofs of one ledger have come.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    condemned: u32,
    not_before: Option<Instant>,
    /// When condemned pairs are tried again, where there are any.
    reprieve: Option<Instant>,
}

impl Proofs {
    /// Tries pairs until enough are known to work.
    pub(super) async fn go_on(&mut self, ledger: &Ledger) {
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            return;
        }
        if self.reprieve.is_some_and(|then| Instant::now() >= then) {
            // A rule that is still there costs three handshakes a minute. One that is gone, or an app whose accept
            // queue was full (the kernel drops the SYN then), must not cost the pairs for good.
            self.reprieve = None;
            ledger.reprieve();
        }
        let missing = AHEAD.saturating_sub(ledger.proven_with_room());
        for number in ledger.to_be_proven(missing) {
            let pair = ledger.planned(number);
            match handshake(&pair).await {
                Ok(()) => {
                    self.condemned = 0;
                    ledger.set_proof(number, Proof::Works);
                }
                Err(fault) if says_nothing(fault) => {
                    self.not_before = Some(Instant::now() + REFUSED);
                    return;
                }
                Err(fault) => {
                    // The first says it all; the others are tried to be sure.
                    if self.condemned == 0 {
                        tracing::warn!(
                            pair = %pair,
                            ?fault,
                            "a spread pair of addresses does not work and is not used for a minute; is there a local \
                             DNAT rule, or a firewall that knows 127.0.0.1 only?"
                        );
                    }
                    ledger.set_proof(number, Proof::Condemned);
                    self.reprieve.get_or_insert(Instant::now() + GIVEN_UP);
                    self.condemned += 1;
                }
            }
            if self.condemned >= CONDEMNED_MAX {
                self.condemned = 0;
                self.not_before = Some(Instant::now() + GIVEN_UP);
                return;
            }
        }
    }
}

/// Failures that are the app's or the host's of this moment, and not the pair's.
fn says_nothing(fault: ConnectFault) -> bool {
    matches!(
        fault,
        ConnectFault::Refused
            | ConnectFault::SourcePorts
            | ConnectFault::Descriptors
            | ConnectFault::Memory
    )
}

async fn handshake(pair: &PlannedPair) -> Result<(), ConnectFault> {
    let origin = origin(pair, None);
    let stream = connect::tcp(pair.destination, origin).map_err(|error| error.fault())?;
    let of_runtime = |error: io::Error| ConnectFault::of(connect::Step::Socket, &error);
    let stream = TcpStream::from_std(stream).map_err(of_runtime)?;
    match timeout(HANDSHAKE_MAX, stream.writable()).await {
        Ok(writable) => writable.map_err(of_runtime)?,
        Err(_elapsed) => return Err(ConnectFault::TimedOut),
    }
    connect::tcp_finish(&stream).map_err(|error| error.fault())
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
