//! The upgrade that the apps and loads of the demo and the benchmark agree on: what is sent, what is answered, and what
//! the app does in the tunnel.
//!
//! It looks like WebSocket, so that every proxy passes it on, and is none after the upgrade: bytes come back as they
//! were sent, without frames. Key and answer are those of RFC 6455, section 1.3, so that nobody has to compute.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The path in [`UPGRADE`].
pub const PATH: &str = "/tunnel";

/// The request for a tunnel.
pub const UPGRADE: &[u8] =
    b"GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The app's answer to [`UPGRADE`].
pub const ACCEPTANCE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Whether a request's head, as a proxy may have written it anew, asks for a tunnel.
#[must_use]
pub fn is_asked_for(head: &[u8]) -> bool {
    const FIELD: &[u8] = b"upgrade: websocket\r";
    head.split(|byte| *byte == b'\n')
        .any(|line| line.eq_ignore_ascii_case(FIELD))
}

/// Gives back what comes until the other side ends.
///
/// # Errors
/// Those of the stream: the peer has left.
pub async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    // Small: it is there for each held connection. More comes in several pieces.
    let mut piece = [0; 16];
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            length => stream.write_all(&piece[..length]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_tunnel_is_known_however_its_field_is_spelled() {
        assert!(is_asked_for(UPGRADE));
        assert!(is_asked_for(
            b"GET / HTTP/1.1\r\nupgrade: WebSocket\r\n\r\n"
        ));
        assert!(!is_asked_for(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!is_asked_for(
            b"GET /upgrade:%20websocket HTTP/1.1\r\nX-Upgrade: websocket\r\n\r\n"
        ));
    }
}
