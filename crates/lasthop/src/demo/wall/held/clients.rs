//! The clients that stay: so many upgrades asked for at once, kept, and then each asked to echo.
//!
//! They come over a Unix socket, and so take none of the ports that are counted. Each has a deadline; whatever is not
//! an upgrade is a refusal with words.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::demo::app::head_length;
use crate::demo::tunnel::UPGRADE;
use crate::demo::wall::refusal::refusal_in;

/// How long all of them together may take to be answered: the patience of the proxy with its ports is a fraction of it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// How long all echoes together may take.
const ECHO_DEADLINE: Duration = Duration::from_secs(20);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Pause where the proxy's listen queue is full, which the kernel says at once for a Unix socket.
const CONNECT_PAUSE: Duration = Duration::from_millis(2);
/// Bytes that go through a tunnel and back; they say which tunnel it is.
const PAYLOAD_BYTES: usize = 16;

/// What came of the upgrades.
#[derive(Debug, Default)]
pub(super) struct Clients {
    held: Vec<UnixStream>,
    /// What the first of the others saw.
    pub(super) refusal: Option<String>,
}

impl Clients {
    /// Asks for `count` upgrades at `address`, all at once. Needs a `LocalRuntime`.
    pub(super) async fn ask(address: &Path, count: u64) -> Self {
        let deadline = Instant::now() + ANSWER_DEADLINE;
        let mut asking = JoinSet::new();
        for _ in 0..count {
            let address = address.to_owned();
            asking.spawn_local(async move {
                let answered = timeout_at(deadline, upgrade(&address)).await;
                answered.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()))
            });
        }
        let mut clients = Self::default();
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok(Ok(stream)) => clients.held.push(stream),
                Ok(Err(refusal)) => {
                    clients.refusal.get_or_insert(refusal);
                }
                // A panic of the task, which has said so itself; its connection is missing in the sum.
                Err(_) => {}
            }
        }
        clients
    }

    /// How many were upgraded, and are kept.
    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// Sends something of its own through each tunnel and counts those that bring it back.
    pub(super) async fn echo(&mut self) -> u64 {
        let deadline = Instant::now() + ECHO_DEADLINE;
        // All are asked before the first is listened to: an answer that went astray would show in another tunnel.
        for (number, stream) in self.held.iter_mut().enumerate() {
            // One that fails brings nothing back, and is not counted.
            let _ = timeout_at(deadline, stream.write_all(&payload(number))).await;
        }
        let mut echoed = 0;
        for (number, stream) in self.held.iter_mut().enumerate() {
            let mut back = [0; PAYLOAD_BYTES];
            let read = timeout_at(deadline, stream.read_exact(&mut back)).await;
            if matches!(read, Ok(Ok(_))) && back == payload(number) {
                echoed += 1;
            }
        }
        echoed
    }
}

fn payload(number: usize) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    let text = format!("{number:0PAYLOAD_BYTES$}");
    for (to, from) in payload.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    payload
}

/// An upgraded connection, or what was seen instead.
async fn upgrade(address: &Path) -> Result<UnixStream, String> {
    let lost = |error: io::Error| format!("a lost connection ({error})");
    let mut stream = loop {
        match UnixStream::connect(address).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(CONNECT_PAUSE).await,
            connected => break connected.map_err(|error| format!("no connection ({error})"))?,
        }
    };
    stream.write_all(UPGRADE).await.map_err(lost)?;
    let mut head = Vec::with_capacity(256);
    let length = loop {
        if let Some(length) = head_length(&head) {
            break length;
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err("an answer without an end".to_owned());
        }
        if stream.read_buf(&mut head).await.map_err(lost)? == 0 {
            return Err("a closed connection without an answer".to_owned());
        }
    };
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(stream);
    }
    Err(refusal_in(&head[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::app::App;
    use crate::demo::scratch::Scratch;
    use tokio::runtime::{Builder, LocalOptions};

    fn play<T>(part: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(part)
    }

    #[test]
    fn upgrades_are_held_and_each_echoes_what_it_was_sent() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(1, scratch.path()).unwrap();
        play(async {
            let mut clients = Clients::ask(app.unix_path(), 20).await;
            assert_eq!((clients.held(), clients.refusal.take()), (20, None));
            assert_eq!(app.unix_connections(), 20);
            assert_eq!(clients.echo().await, 20);
            drop(app);
            assert_eq!(clients.echo().await, 0);
        });
    }

    #[test]
    fn an_address_without_a_listener_is_a_refusal_with_words() {
        let scratch = Scratch::new().unwrap();
        let clients = play(Clients::ask(&scratch.path().join("nobody.sock"), 2));
        assert_eq!(clients.held(), 0);
        let refusal = clients.refusal.unwrap();
        assert!(refusal.starts_with("no connection ("), "{refusal}");
    }
}
