//! One attempt to connect to one target: over TCP from a pair of addresses that the target's account lends, or to a Unix
//! socket.
//!
//! The kernel has the last word about ports: a pair that it refuses is noted, and the next one tried, within the same
//! attempt. What to do when all of them are refused, or the backlog is full, is `connect`'s to decide.

use std::io;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lasthop_kernel::connect::{
    self, Attempt, ConnectFault, Origin, Step, UnixConnecting, UnixTarget,
};
use lasthop_ports::ledger::Proof;
use lasthop_ports::{Grant, Refusal, Walk};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Target;
use crate::ports::{Account, origin};
use crate::transport::{Connections, Slot, Stream};

/// Pairs and explicit ports that one attempt goes through. The walk ends by itself before; this is what it can never
/// exceed, whatever the watcher does to the ledger meanwhile.
const GRANTS_MAX: usize = 64;

/// How long a handshake may take on a pair that is known to work, before that is doubted. It takes microseconds, and a
/// second where the first packet was dropped because the app was busy.
const ANSWER_EXPECTED: Duration = Duration::from_millis(1200);

/// After so long the watcher has tried a doubted pair. A request whose time was shorter leaves it to the next one's.
const DOUBT_SETTLED: Duration = Duration::from_secs(4);

/// How often a request that waits on a doubted pair looks whether it has been condemned.
const DOUBT_LOOK: Duration = Duration::from_millis(50);

/// A connection in the making. A Unix socket that found the backlog full is kept: connecting the
/// same descriptor again is allowed and saves making another (`unix(7)`, EAGAIN).
pub(super) enum Dial {
    Tcp(Arc<Account>),
    Unix {
        target: UnixTarget,
        socket: Option<(UnixConnecting, Slot)>,
    },
}

/// A failed attempt.
pub(super) struct Failed {
    pub(super) fault: ConnectFault,
    pub(super) source: io::Error,
}

impl Failed {
    /// All descriptors for connections are taken, and nobody could go for one.
    fn slots(clients: &Connections) -> Self {
        Self {
            fault: ConnectFault::Descriptors,
            source: io::Error::other(clients.slots().to_string()),
        }
    }

    fn timed_out() -> Self {
        Self {
            fault: ConnectFault::TimedOut,
            source: io::ErrorKind::TimedOut.into(),
        }
    }

    /// No pair has a port left; `why` has the numbers.
    fn ports(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            fault: ConnectFault::SourcePorts,
            source: io::Error::other(why),
        }
    }

    #[cfg(test)]
    pub(super) fn refused(source: io::Error) -> Self {
        Self {
            fault: ConnectFault::Refused,
            source,
        }
    }
}

impl From<connect::ConnectError> for Failed {
    fn from(error: connect::ConnectError) -> Self {
        Self {
            fault: error.fault(),
            source: error.source,
        }
    }
}

impl From<io::Error> for Failed {
    /// For what fails around the connect: registering the socket with the runtime.
    fn from(source: io::Error) -> Self {
        Self {
            fault: ConnectFault::of(Step::Socket, &source),
            source,
        }
    }
}

impl Dial {
    /// `account` is that of a TCP target.
    pub(super) fn new(target: &Target, account: &Option<Arc<Account>>) -> io::Result<Self> {
        let unix = |target: Result<UnixTarget, _>| match target {
            Ok(target) => Ok(Self::Unix {
                target,
                socket: None,
            }),
            // The configuration has checked names and paths already.
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
        };
        match (target, account) {
            (Target::Unix(path), _) => unix(UnixTarget::path(path)),
            (Target::Abstract(name), _) => unix(UnixTarget::abstract_name(name)),
            (Target::Tcp(_) | Target::Spread(_), Some(account)) => {
                Ok(Self::Tcp(Arc::clone(account)))
            }
            // Every TCP target has one from the start.
            (Target::Tcp(_) | Target::Spread(_), None) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// One attempt. A TCP attempt takes at most `connect_timeout`; a Unix one never waits. Where there is
    /// no descriptor for it, one of `clients` may have to go.
    pub(super) async fn attempt(
        &mut self,
        connect_timeout: Duration,
        clients: &Connections,
    ) -> Result<Stream, Failed> {
        let slot = || clients.app_slot().ok_or_else(|| Failed::slots(clients));
        match self {
            Self::Tcp(account) => {
                let slot = slot()?;
                let stream = connect_tcp(account, clients, connect_timeout).await?;
                Ok(stream.with_slot(slot))
            }
            Self::Unix { target, socket } => {
                let (connecting, slot) = match socket.take() {
                    Some(kept) => kept,
                    None => {
                        let slot = slot()?;
                        (UnixConnecting::new()?, slot)
                    }
                };
                match connecting.attempt(target)? {
                    Attempt::Connected => {
                        Ok(Stream::unix_to_app(connecting.into_stream()).with_slot(slot))
                    }
                    Attempt::Full => {
                        *socket = Some((connecting, slot));
                        Err(Failed {
                            fault: ConnectFault::Backlog,
                            source: io::ErrorKind::WouldBlock.into(),
                        })
                    }
                }
            }
        }
    }
}

/// A connection on the first pair that has a port, by the account and by the kernel.
async fn connect_tcp(
    account: &Account,
    clients: &Connections,
    connect_timeout: Duration,
) -> Result<Stream, Failed> {
    let mut walk = Walk::default();
    let mut deadline = None;
    // Where no pair is left, one that had a port and no way there says more than that none is left.
    let mut no_way = None;
    for _ in 0..GRANTS_MAX {
        let grant = match account.next(&mut walk) {
            Ok(grant) => grant,
            Err(none_left) => return Err(no_way.unwrap_or_else(|| Failed::ports(none_left))),
        };
        let connected = match begin(&grant, clients) {
            Ok(stream) if connect::tcp_is_connected(&stream) => Ok(stream),
            Ok(stream) => {
                let begun = Instant::now();
                let deadline = *deadline.get_or_insert(begun + connect_timeout);
                let finishing = finish_or_doubt(account, &grant, stream);
                let Ok(finished) = timeout_at(deadline, finishing).await else {
                    if begun.elapsed() < DOUBT_SETTLED {
                        account.unanswered(&grant);
                    }
                    return Err(Failed::timed_out());
                };
                finished
            }
            Err(failed) => Err(failed),
        };
        match connected {
            Ok(stream) => {
                account.connected(&grant);
                let names_port = grant.port.is_some();
                return Ok(Stream::leased(stream, grant.lease, names_port));
            }
            Err(failed) => match refusal(&failed, &grant) {
                Some(refusal) => {
                    if refusal == Refusal::NoWay {
                        account.tell_of_no_way(&grant, &failed.source);
                        no_way = Some(failed);
                    }
                    account.refused(&mut walk, grant, refusal);
                }
                None => return Err(failed),
            },
        }
    }
    Err(no_way.unwrap_or_else(|| Failed::ports("the kernel refuses every pair")))
}

/// Whether a failure is about the pair, and not about the app: then another pair is worth trying.
fn refusal(failed: &Failed, grant: &Grant) -> Option<Refusal> {
    // What the kernel would have done without us is not for us to correct.
    let is_ours = grant.lease.pair().bound || grant.lease.is_spilled();
    match failed.fault {
        ConnectFault::SourcePorts => Some(Refusal::NoPort),
        ConnectFault::Refused if grant.lease.is_invented() => Some(Refusal::NobodyThere),
        ConnectFault::SourceAddress | ConnectFault::Permission | ConnectFault::Unreachable
            if is_ours =>
        {
            Some(Refusal::NoWay)
        }
        // A loopback source towards another host: EINVAL (`ip_route_output_key_hash_rcu` in net/ipv4/route.c).
        ConnectFault::Other if is_ours && failed.source.kind() == io::ErrorKind::InvalidInput => {
            Some(Refusal::NoWay)
        }
        ConnectFault::TimedOut if grant.lease.proven_pair().is_some() => Some(Refusal::NoAnswer),
        _ => None,
    }
}

/// Has the handshake on a pair begin, on the socket of a connection that is over where there is one.
fn begin(grant: &Grant, clients: &Connections) -> Result<TcpStream, Failed> {
    let pair = grant.lease.pair();
    let origin = origin(&pair, grant.port);
    let spent = match origin {
        Origin::Kernel => clients.take_spent(pair.destination),
        Origin::Address { .. } | Origin::Port { .. } => None,
    };
    // What the kernel has against it, it may not have against a fresh one; else it says so again.
    match spent.and_then(|socket| socket.connect().ok()) {
        Some(stream) => Ok(stream),
        None => Ok(connect::tcp(pair.destination, origin)?),
    }
}

/// The end of a handshake that was not over at once: the app is on another host, or busy, or not there. On a pair that is
/// known to work it should be over soon; where it is not, the watcher is asked to try the pair, which is left when it has
/// been condemned. As long as it is the app that is busy, this waits.
async fn finish_or_doubt(
    account: &Account,
    grant: &Grant,
    stream: TcpStream,
) -> Result<TcpStream, Failed> {
    let finishing = finish(stream);
    let Some(number) = grant.lease.proven_pair() else {
        return finishing.await;
    };
    let mut finishing = pin!(finishing);
    if let Ok(finished) = timeout(ANSWER_EXPECTED, &mut finishing).await {
        return finished;
    }
    account.doubt(number);
    while account.ledger().proof(number) == Proof::Works {
        if let Ok(finished) = timeout(DOUBT_LOOK, &mut finishing).await {
            return finished;
        }
    }
    Err(Failed::timed_out())
}

/// Waits until the handshake is over, watched for that alone.
async fn finish(stream: TcpStream) -> Result<TcpStream, Failed> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    stream.writable().await?;
    connect::tcp_finish(&stream)?;
    Ok(stream.into_std()?)
}
