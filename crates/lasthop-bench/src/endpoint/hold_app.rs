//! The app that holds connections: a short answer to every GET, a held tunnel for every upgrade.
//!
//! Behind proxies whose memory per connection is measured. Nothing is said in a tunnel until the client does; then its
//! bytes come back. Over TCP and a Unix socket at once, on one thread, with no buffer for a connection that is silent,
//! so that one process holds as many as its descriptor limit has room for.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use lasthop_kernel::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use super::{next_order, runtime, say};
use crate::error::BenchError;

/// Body bytes of each answer to a GET.
pub(crate) const BODY_BYTES: usize = 2;
/// Where it listens for TCP: not where clients connect from, as with the other app.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Asked of `listen(2)`; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// Longest request head; proxies add a few hundred bytes to our load's.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Descriptors that are no connection's.
const DESCRIPTORS_APART: u64 = 64;
/// Pause after a failed `accept`, which is a lack of descriptors or memory and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// To the key that our load sends, which is the one of RFC 6455, section 1.3; so is this answer to it.
const ACCEPTANCE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Serves until the standard input ends. Says its TCP address first.
pub(crate) fn serve(directory: &Path) -> Result<(), BenchError> {
    let connections_max = limits::raise_nofile()?
        .soft
        .saturating_sub(DESCRIPTORS_APART);
    let connections_max = usize::try_from(connections_max).unwrap_or(usize::MAX);
    let runtime = runtime()?;
    let (tcp, unix, address) = {
        let _inside = runtime.enter();
        listen(directory).map_err(BenchError::host("listen as the app"))?
    };
    say(&address.to_string())?;
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread, because the standard input is not to be waited for without blocking.
    std::thread::spawn(move || {
        while next_order().is_some() {}
        ended.send(())
    });
    runtime.block_on(async move {
        tokio::select! {
            _ = end => {}
            () = accept_all(&tcp, &unix, connections_max) => {}
        }
    });
    Ok(())
}

fn listen(directory: &Path) -> io::Result<(TcpListener, UnixListener, SocketAddrV4)> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("app.sock");
    let tcp = TcpSocket::new_v4()?;
    tcp.bind(SocketAddrV4::new(ADDRESS, 0).into())?;
    let tcp = tcp.listen(BACKLOG)?;
    let address = SocketAddrV4::new(ADDRESS, tcp.local_addr()?.port());
    let unix = UnixSocket::new_stream()?;
    unix.bind(&path)?;
    // A rival's worker may run as another user.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok((tcp, unix.listen(BACKLOG)?, address))
}

async fn accept_all(tcp: &TcpListener, unix: &UnixListener, connections_max: usize) {
    let open = Rc::new(());
    loop {
        // Whether there is room, as each task holds a clone.
        let room = Rc::strong_count(&open) <= connections_max;
        let place = Rc::clone(&open);
        tokio::select! {
            accepted = tcp.accept(), if room => match accepted {
                Ok((stream, _)) => hold(stream, place),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            accepted = unix.accept(), if room => match accepted {
                Ok((stream, _)) => hold(stream, place),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = tokio::time::sleep(ACCEPT_PAUSE), if !room => {}
        }
    }
}

fn hold<S>(stream: S, place: Rc<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    tokio::task::spawn_local(async move {
        let _place = place;
        // An error is the peer's leaving or misbehaving; the load sees the other end of it and counts it.
        let _ = converse(stream).await;
    });
}

/// Answers requests until one upgrades, then gives back what comes.
async fn converse<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let Some(upgrade) = read_request(&mut stream).await? else {
            return Ok(());
        };
        if !upgrade {
            stream.write_all(ANSWER).await?;
            continue;
        }
        stream.write_all(ACCEPTANCE).await?;
        // Small: it is there for each held connection. More comes in several pieces.
        let mut piece = [0; 16];
        loop {
            match stream.read(&mut piece).await? {
                0 => return Ok(()),
                length => stream.write_all(&piece[..length]).await?,
            }
        }
    }
}

/// Whether the next request wants an upgrade; `None` at the end. The load waits for each answer, so nothing follows the
/// head, and the buffer is gone while the connection is silent.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<bool>> {
    // Not a buffer of its own for the first byte: waiting is what these connections do.
    let mut first = [0; 1];
    if stream.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut head = Vec::from(first);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    Ok(Some(head.contains("\r\nupgrade: websocket\r\n")))
}
