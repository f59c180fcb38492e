//! The clients of `churn`: what each kind of them does from its connect(2) to its end, good and bad ones.
//!
//! Every one knows what it has to see, so a proxy that gets into disorder spoils the run instead of its figures. None stays
//! for longer than [`LIFE_MAX`], so that readings a few of those apart have no client in common.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lasthop::demo::app::CLOSING_PATH;
use lasthop_kernel::{connect, socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::endpoint::answer::{self, AnswerError};

/// No client stays for longer; it is the proxy's `idle_timeout` with a request before and time to spare.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(20);
/// Where they come from: nobody else's ports are used up.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 251);
/// Requests of a client that keeps its connection, and echoes through a tunnel.
const EXCHANGES: usize = 4;
/// A client waits for up to so long before its next one: below the `idle_timeout` of the proxy.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Some requests with pauses, then it closes.
    KeptAlive,
    /// A request, then it waits until the proxy closes.
    Outstaying,
    /// It says nothing until the proxy closes.
    Silent,
    /// Half a head, then it waits to be told.
    SlowHead,
    /// Requests after each of which the app closes its connection.
    Closing,
    /// An upgrade and some echoes with pauses.
    Tunnel,
    /// A tunnel that it resets.
    TunnelReset,
    /// It resets within its head.
    HeadReset,
    /// It resets within its upload.
    UploadReset,
    /// It resets within the answer.
    AnswerReset,
    /// A head that is none.
    Malformed,
    /// A request for an app that is not there.
    Gone,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::KeptAlive,
        Self::Outstaying,
        Self::Silent,
        Self::SlowHead,
        Self::Closing,
        Self::Tunnel,
        Self::TunnelReset,
        Self::HeadReset,
        Self::UploadReset,
        Self::AnswerReset,
        Self::Malformed,
        Self::Gone,
    ];

    /// As a row's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeptAlive => "kept alive",
            Self::Outstaying => "idle until closed",
            Self::Silent => "silent until closed",
            Self::SlowHead => "slow head",
            Self::Closing => "app closes",
            Self::Tunnel => "tunnel",
            Self::TunnelReset => "tunnel, reset",
            Self::HeadReset => "reset in its head",
            Self::UploadReset => "reset in its upload",
            Self::AnswerReset => "reset in its answer",
            Self::Malformed => "malformed head",
            Self::Gone => "no app",
        }
    }

    /// How many of it come for each one of the rarest.
    fn weight(self) -> u64 {
        match self {
            Self::KeptAlive => 6,
            Self::Closing | Self::Tunnel => 3,
            Self::Outstaying => 2,
            _ => 1,
        }
    }

    /// The kind that a number stands for: all in turn, each as often as its weight says.
    pub(super) fn by_turn(number: u64) -> Self {
        let sum: u64 = Self::ALL.into_iter().map(Self::weight).sum();
        let mut left = number % sum;
        let is_it = |kind: &Self| {
            let here = left < kind.weight();
            left = left.saturating_sub(kind.weight());
            here
        };
        Self::ALL.into_iter().find(is_it).unwrap_or(Self::KeptAlive)
    }
}

/// One client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) kind: Kind,
    /// Where the proxy is.
    pub(super) address: SocketAddr,
    /// Which of all it is: it decides over the transport to the app and the pauses.
    pub(super) number: u64,
}

impl Client {
    /// From its connect(2) to its end.
    ///
    /// # Errors
    /// What it saw that it should not have seen.
    pub(super) async fn live(self) -> Result<(), AnswerError> {
        let life = timeout(LIFE_MAX, self.life());
        life.await.unwrap_or(Err(AnswerError::Late))
    }

    async fn life(self) -> Result<(), AnswerError> {
        let mut stream = self.connected().await?;
        let unread = &mut Vec::new();
        match self.kind {
            Kind::KeptAlive => {
                for turn in 0..EXCHANGES {
                    self.ask(&mut stream, unread, "/").await?;
                    sleep(self.pause(turn)).await;
                }
            }
            Kind::Outstaying => {
                self.ask(&mut stream, unread, "/").await?;
                until_closed(&mut stream).await?;
            }
            Kind::Silent => until_closed(&mut stream).await?,
            Kind::SlowHead => {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await?;
                answer::read(&mut stream, unread, 408).await?;
            }
            Kind::Closing => {
                for _ in 0..EXCHANGES {
                    self.ask(&mut stream, unread, CLOSING_PATH).await?;
                }
            }
            Kind::Tunnel => {
                self.upgrade(&mut stream, unread).await?;
                for turn in 0..EXCHANGES {
                    self.echo(&mut stream).await?;
                    sleep(self.pause(turn)).await;
                }
                stream.shutdown().await?;
                until_closed(&mut stream).await?;
            }
            Kind::TunnelReset => {
                self.upgrade(&mut stream, unread).await?;
                self.echo(&mut stream).await?;
                sleep(self.pause(0)).await;
                reset(stream)?;
            }
            Kind::HeadReset => {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await?;
                sleep(self.pause(0)).await;
                reset(stream)?;
            }
            Kind::UploadReset => {
                let head = self.head("POST", "/", "Content-Length: 100000\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&[b'x'; 50_000]).await?;
                sleep(self.pause(0)).await;
                reset(stream)?;
            }
            Kind::AnswerReset => {
                let head = self.head("GET", "/", "");
                stream.write_all(head.as_bytes()).await?;
                stream.read_exact(&mut [0; 100]).await?;
                reset(stream)?;
            }
            Kind::Malformed => {
                stream.write_all(b"GET\r\n\r\n").await?;
                answer::read(&mut stream, unread, 400).await?;
            }
            Kind::Gone => {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: gone.test\r\n\r\n")
                    .await?;
                answer::read(&mut stream, unread, 502).await?;
            }
        }
        Ok(())
    }

    async fn connected(self) -> Result<TcpStream, AnswerError> {
        let origin = connect::Origin::Address {
            ip: SOURCE.into(),
            foreign: false,
        };
        let stream = TcpStream::from_std(connect::tcp(self.address, origin)?)?;
        stream.writable().await?;
        connect::tcp_finish(&stream)?;
        Ok(stream)
    }

    async fn ask(
        self,
        stream: &mut TcpStream,
        unread: &mut Vec<u8>,
        path: &str,
    ) -> Result<(), AnswerError> {
        let head = self.head("GET", path, "");
        stream.write_all(head.as_bytes()).await?;
        answer::read(stream, unread, 200).await?;
        Ok(())
    }

    async fn upgrade(
        self,
        stream: &mut TcpStream,
        unread: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let head = self.head("GET", "/tunnel", fields);
        stream.write_all(head.as_bytes()).await?;
        answer::read(stream, unread, 101).await?;
        Ok(())
    }

    async fn echo(self, stream: &mut TcpStream) -> Result<(), AnswerError> {
        let said = self.number.to_be_bytes();
        let mut back = [0; 8];
        stream.write_all(&said).await?;
        stream.read_exact(&mut back).await?;
        if back == said {
            Ok(())
        } else {
            Err(AnswerError::Echo)
        }
    }

    /// Every other round over the other transport.
    fn head(self, method: &str, path: &str, fields: &str) -> String {
        let round = self.number / Kind::ALL.len() as u64;
        let host = ["tcp.test", "unix.test"][usize::from(round % 2 == 1)];
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
    }

    /// Up to [`PAUSE_MAX`], another for each client and turn.
    fn pause(self, turn: usize) -> Duration {
        // Weyl's sequence by the golden ratio: evenly spread without a generator.
        let place = (self.number + turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let thousandths = u32::try_from((place >> 32) % 1000).unwrap_or(0);
        PAUSE_MAX * thousandths / 1000
    }
}

/// Reads on until the peer ends its direction.
async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

fn reset(stream: TcpStream) -> io::Result<()> {
    socket::reset_on_close(&stream, true)?;
    drop(stream);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_come_in_turn_as_often_as_they_weigh() {
        let round: Vec<Kind> = (0..22).map(Kind::by_turn).collect();
        for kind in Kind::ALL {
            let count = round.iter().filter(|one| **one == kind).count() as u64;
            assert_eq!(count, kind.weight(), "{kind:?}");
        }
        assert_eq!(Kind::by_turn(22), round[0]);
    }

    #[test]
    fn both_transports_are_used_and_pauses_differ() {
        let client = |number| Client {
            kind: Kind::by_turn(number),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            number,
        };
        let over_unix = (0..2100).filter(|n| client(*n).head("GET", "/", "").contains("unix"));
        assert!((900..1200).contains(&over_unix.count()));
        let short = (0..1000).filter(|n| client(*n).pause(0) < PAUSE_MAX / 2);
        assert!((400..600).contains(&short.count()));
    }
}
