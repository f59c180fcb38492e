//! The life of one request, from the first byte of its head to the last byte of its answer.
//!
//! Read this file from top to bottom: route, buffer, checkout, send, answer; every step is one call
//! into one other file. What goes wrong on the way is a [`Fault`], and [`answer::instead`] decides what
//! the client gets for it.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

use super::account::Account;
use super::answer;
use super::client::{Client, unless_gone};
use super::download::{Answer, Ends, Head};
use super::exchange::{Exchange, NoHead};
use super::fault::Fault;
use super::request::{self, Manner, Request};
use super::site::ListenerSite;
use crate::transport::Buffer;
use crate::upstream::{Connection, Need};

/// Interim answers (1xx) passed on per request. Browsers and apps know one or two.
const INTERIM_ANSWERS_MAX: usize = 100;

/// What becomes of the client's connection once its request is dealt with.
#[derive(Debug)]
pub(super) enum After {
    /// The next request may come.
    Next,
    /// It is closed.
    Close,
    /// It is closed once the client has stopped sending, so that it sees the answer.
    Linger,
    /// It is reset, so that nobody takes what was sent for whole.
    Reset,
    /// It is joined with the app's.
    Tunnel(Box<Joined>),
}

/// The app's half of a tunnel.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) app: Box<Connection>,
    pub(super) from_app: Option<Buffer>,
    pub(super) timeout: std::time::Duration,
    /// The request's account, where its log line is still to be written.
    pub(super) account: Option<Box<Account>>,
}

/// Deals with the next request of `client`.
pub(super) async fn forward(client: &mut Client, listener: &Rc<ListenerSite>) -> After {
    let mut manner = Manner::default();
    let mut account = Account::open(client, listener);
    let mut under_way = UnderWay {
        client,
        manner: &mut manner,
        account: &mut account,
    };
    let after = under_way.deal(listener).await;
    drop(under_way);
    let Some(after) = after else {
        account.forget();
        return After::Close;
    };
    account.close(after)
}

/// A request that is being dealt with. However that ends, by a worker that is stopped even, its account
/// learns how far it has come.
struct UnderWay<'a> {
    client: &'a mut Client,
    manner: &'a mut Manner,
    account: &'a mut Account,
}

impl UnderWay<'_> {
    /// None if the client left before it asked for anything.
    async fn deal(&mut self, listener: &ListenerSite) -> Option<After> {
        let (client, manner, account) = (&mut *self.client, &mut *self.manner, &mut *self.account);
        match carry(client, listener, manner, account).await {
            Ok(after) => after,
            Err(fault) => Some(answer::instead(client, listener, manner, account, fault).await),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.account.measure(self.client, self.manner);
    }
}

/// Carries a request to its app and the answer back; none if the client left before it asked for
/// anything.
async fn carry(
    client: &mut Client,
    listener: &ListenerSite,
    manner: &mut Manner,
    account: &mut Account,
) -> Result<Option<After>, Fault> {
    let head = client.read_head(listener).await;
    // Known even of a head that is refused, so that the refusal has no body either.
    manner.is_head = client.begins_with_head_method();
    let Some(length) = head? else {
        return Ok(None);
    };
    let mut request = request::take(client, listener, length, manner, account)?;
    if request.upload.is_worth_buffering() && !request.expects_continue {
        buffer_body(client, listener, &mut request, manner).await?;
    }
    let mut exchange = Exchange::new(client, listener, &mut request, manner, account);
    let answer = deliver(&mut exchange).await?;
    exchange.begin(answer);
    poll_fn(|cx| exchange.poll_answer(cx)).await?;
    exchange.finish();
    Ok(Some(settle(exchange)))
}

/// Waits for a body of known length until it is whole or the buffer is full: a client that stalls
/// in its upload holds this proxy's memory, not one of the app's four workers.
async fn buffer_body(
    client: &mut Client,
    listener: &ListenerSite,
    request: &mut Request,
    manner: &mut Manner,
) -> Result<(), Fault> {
    let timeout = listener.settings.body_timeout;
    client.watch.due_in(timeout);
    poll_fn(|cx| {
        let mut moved = false;
        if let Poll::Ready(result) = request.upload.poll_buffer(cx, client, &mut moved) {
            return Poll::Ready(result);
        }
        if moved {
            client.watch.due_in(timeout);
        }
        ready!(client.watch.poll_deadline(cx));
        Poll::Ready(Err(Fault::SlowBody))
    })
    .await?;
    manner.is_read = request.upload.is_read();
    Ok(())
}

/// Takes a connection, sends the request and waits for the head of the answer. A reused connection
/// that dies before the first byte of an answer was most likely closed by the app before it saw the
/// request: the request gets a fresh one if sending it twice cannot hurt.
async fn deliver(exchange: &mut Exchange<'_>) -> Result<Answer, Fault> {
    let mut need = Need {
        fresh: false,
        sure: !exchange.request.is_idempotent,
    };
    let mut retries = exchange.request.upstream.settings.retries;
    loop {
        let upstream = &exchange.request.upstream;
        let app = match upstream.idle_connection(need) {
            Some(idle) => idle,
            None => {
                exchange.account.asks();
                let queued = Cell::new(false);
                let checkout = Box::pin(upstream.checkout(need, &queued));
                let pool = &exchange.listener.site.buffers;
                unless_gone(exchange.client, pool, &queued, checkout)
                    .await?
                    .map_err(|error| Fault::Connect(Box::new(error)))?
            }
        };
        exchange.take(app);
        match head(exchange).await {
            Ok(answer) => return Ok(answer),
            Err(NoHead::Fault(fault)) => return Err(fault),
            Err(NoHead::Dead(cut)) => {
                if retries == 0 || !exchange.can_start_over() {
                    return Err(Fault::CutAnswer(cut));
                }
                retries -= 1;
                need.fresh = true;
                exchange.start_over();
            }
        }
    }
}

/// Sends the request and waits for the head of the final answer, passing interim ones on.
async fn head(exchange: &mut Exchange<'_>) -> Result<Answer, NoHead> {
    for _ in 0..=INTERIM_ANSWERS_MAX {
        let length = poll_fn(|cx| exchange.poll_head(cx)).await?;
        if let Head::Final(answer) = exchange.take_head(length)? {
            return Ok(answer);
        }
    }
    Err(Fault::BadAnswer("the application sent interim answers without end").into())
}

/// After the answer: what becomes of the client's connection.
fn settle(exchange: Exchange<'_>) -> After {
    match exchange.ends() {
        Ends::Never => After::Next,
        Ends::ByUpgrade => exchange.into_tunnel(),
        Ends::WithClose | Ends::ByClose if exchange.client_may_still_send() => After::Linger,
        Ends::WithClose | Ends::ByClose => After::Close,
    }
}
