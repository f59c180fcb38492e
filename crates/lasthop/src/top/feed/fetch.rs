//! A page of an instance: one GET, over a connection that is kept, with a bound on its time and its size.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::Secret;
use crate::top::address::Address;

/// From the connect to the last byte: it is on the same host, or next to it.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Bytes of a page. A day with everything in it has less than a tenth.
const BYTES_MAX: usize = 8 << 20;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// Nobody is there.
    #[error("{}", brief(.0))]
    Connect(io::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", TIME_MAX.as_secs())]
    Time,
    /// It does not speak HTTP/1.1, or stopped in the middle.
    #[error("it does not speak HTTP as lasthop does: {0}")]
    Http(#[from] hyper::Error),
    /// It wants a token.
    #[error("it wants a token: give --admin, and LASTHOP_ADMIN_TOKEN or --token-file")]
    Token,
    /// It answers with something else.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// Its page is too long.
    #[error("its page has more than {} MiB", BYTES_MAX >> 20)]
    Size,
    /// Our own request is none.
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
}

/// The words of the kernel without their number.
fn brief(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Asks one instance.
pub(super) struct Client {
    address: Address,
    token: Option<Secret>,
    connection: Option<SendRequest<String>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects when it is first asked.
    pub(super) const fn new(address: Address, token: Option<Secret>) -> Self {
        Self {
            address,
            token,
            connection: None,
        }
    }

    /// The page at `path`.
    ///
    /// # Errors
    /// [`FetchError`]; the next call begins with a new connection.
    pub(super) async fn get(&mut self, path: &str) -> Result<Vec<u8>, FetchError> {
        // A connection that was idle may have been closed by now, which is no answer; a fresh one decides.
        let is_kept = self.connection.is_some();
        let mut page = self.within_time(path).await;
        if is_kept && matches!(page, Err(FetchError::Http(_))) {
            page = self.within_time(path).await;
        }
        page
    }

    async fn within_time(&mut self, path: &str) -> Result<Vec<u8>, FetchError> {
        let page = timeout(TIME_MAX, self.ask(path)).await;
        let page = page.unwrap_or(Err(FetchError::Time));
        if page.is_err() {
            self.connection = None;
        }
        page
    }

    async fn ask(&mut self, path: &str) -> Result<Vec<u8>, FetchError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        connection.ready().await?;
        let mut request = Request::get(path).header(HOST, self.address.host());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let answer = connection
            .send_request(request.body(String::new())?)
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(FetchError::Token),
            status => return Err(FetchError::Status(status)),
        }
        let page = whole(answer.into_body()).await?;
        self.connection = Some(connection);
        Ok(page)
    }

    async fn connect(&self) -> Result<SendRequest<String>, FetchError> {
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                drive(stream.map_err(FetchError::Connect)?).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect::<&PathBuf>(path).await;
                drive(stream.map_err(FetchError::Connect)?).await
            }
        }
    }
}

/// Has a task of its own move the bytes; it ends with the connection.
async fn drive(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<String>, FetchError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What went wrong is told to whoever waits for the answer.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut page = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if page.len() + data.len() > BYTES_MAX {
            return Err(FetchError::Size);
        }
        page.extend_from_slice(&data);
    }
    Ok(page)
}
