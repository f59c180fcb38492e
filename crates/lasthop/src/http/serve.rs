//! A client's connection: request after request until one side has had enough, then the right end.

use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::spawn_local;

use super::account::Account;
use super::client::{Client, Peer, Standing, Woken};
use super::forward::{After, Joined};
use super::refuse;
use super::site::ListenerSite;
use crate::relay::{Direction, Tunnel, TunnelEnd};
use crate::transport::{BUFFER_BYTES, Pace, Stream};
use crate::upstream::Hold;

/// How long a lingering close waits for a client to say something more, and how long in all. A third
/// of nginx' `lingering_timeout` and `lingering_time`: enough for a client to read a line of text,
/// too short to hold a crowd of refused ones.
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(2);
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Serves one client until its connection ends. `ip` is none for a client on a Unix socket.
///
/// Never fails: what goes wrong is answered, logged and ends the connection.
///
/// On the heap by itself: a task is aligned to two lines of the processor's cache, and with the state in it an allocator
/// finds room for 384 bytes so aligned only among 512.
pub fn serve(
    stream: Stream,
    ip: Option<IpAddr>,
    listener: Rc<ListenerSite>,
) -> impl Future<Output = ()> {
    let client = Box::new(Client {
        peer: peer(ip, &listener),
        watch: listener.site.connections.enter(listener.index),
        stream,
        input: None,
        half_closed: false,
        standing: Standing::New,
    });
    Box::pin(life(client, Present::enter(listener)))
}

/// A client's connection to its end.
///
/// Not an `async fn`, and the rarer ends are boxed or a task of their own: an idle connection is this
/// future and little else, and arguments of an `async fn` are kept twice.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would be larger, see above"
)]
fn life(mut client: Box<Client>, listener: Present) -> impl Future<Output = ()> {
    async move {
        let after = loop {
            if client.idle(&listener).await == Woken::Leave {
                break After::Close;
            }
            // An idle connection carries no request's state: that lies on a desk of the worker.
            let mut desk = listener.site.desks.lend(client, &listener);
            let (back, after) = poll_fn(|cx| desk.poll(cx)).await;
            listener.site.desks.take_back(desk);
            client = back;
            match after {
                After::Next => client.standing = Standing::Served,
                after => break after,
            }
        };
        if let Some(lingering) = leave(client, listener, after) {
            lingering.await;
        }
    }
}

/// Ends a client's connection in the way that its last request asks for; gives back what is still to be done, if anything.
fn leave(
    mut client: Box<Client>,
    listener: Present,
    after: After,
) -> Option<Pin<Box<impl Future<Output = ()> + use<>>>> {
    match after {
        After::Close if client.watch.is_evicted() => refuse::evict(*client, &listener),
        After::Linger if client.watch.is_evicted() => refuse::evict_answered(*client, &listener),
        After::Next | After::Close => {}
        After::Reset => client.stream.reset_on_close(true),
        After::Tunnel(joined) => join(*client, listener, *joined),
        After::Linger => {
            return Some(Box::pin(
                async move { linger(&mut client, &listener).await },
            ));
        }
    }
    None
}

/// The listener of one client connection, which is in its count.
struct Present(Rc<ListenerSite>);

impl Present {
    fn enter(listener: Rc<ListenerSite>) -> Self {
        let metrics = &listener.site.metrics.listeners[listener.index];
        metrics.connections.rise();
        Self(listener)
    }
}

impl Deref for Present {
    type Target = Rc<ListenerSite>;

    fn deref(&self) -> &Rc<ListenerSite> {
        &self.0
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let metrics = &self.0.site.metrics.listeners[self.0.index];
        metrics.connections.fall();
    }
}

fn peer(ip: Option<IpAddr>, listener: &ListenerSite) -> Peer {
    // A v4 client of a v6 listener is a v4 client to everybody else.
    let ip = ip.map(|ip| ip.to_canonical());
    let proxies = &listener.site.config.server.trusted_proxies;
    Peer {
        ip,
        text: ip
            .map_or_else(String::new, |ip| ip.to_string())
            .into_boxed_str(),
        trusted: ip.map_or_else(|| proxies.trusts_unix(), |ip| proxies.contains(ip)),
    }
}

/// Ends our direction and reads on for a while: closing a socket that is still being sent to resets
/// it, and a reset takes the answer away before the client has read it.
async fn linger(client: &mut Client, listener: &ListenerSite) {
    if client.stream.shutdown_write().is_err() {
        return;
    }
    client.input = None;
    let pool = &listener.site.buffers;
    let ends = client.watch.now() + LINGER_MAX;
    // Whoever needs its place may have it: this is a courtesy.
    client.watch.idle_for(LINGER_SILENCE_MAX);
    // And it may still be sending as fast as it can, which is nothing that others should wait behind.
    let mut pace = Pace::default();
    poll_fn(|cx| {
        if pace.poll_turn(cx, client.watch.bulk()).is_ready() {
            let mut reads = 0;
            while let Poll::Ready(read) = client.poll_fill(cx, pool, BUFFER_BYTES) {
                client.input = None;
                if !matches!(read, Ok(1..)) || client.watch.now() > ends {
                    return Poll::Ready(());
                }
                client.watch.due_in(LINGER_SILENCE_MAX);
                reads += 1;
                if reads == pace.reads_max() {
                    pace.pause(cx, client.watch.bulk());
                    break;
                }
            }
        }
        // Neither a drain nor a newcomer waits for those who only have to leave.
        ready!(client.watch.poll_interrupt(cx));
        Poll::Ready(())
    })
    .await;
}

/// Joins client and app into a tunnel, which is a task of its own from here on.
fn join(client: Client, listener: Present, joined: Joined) {
    let Client {
        mut stream,
        input,
        watch,
        ..
    } = client;
    let Joined {
        app,
        from_app,
        timeout,
        account,
    } = joined;
    // What has passed before belongs to the request; what was read ahead to the tunnel.
    stream.count_from(input.as_ref().map_or(0, |input| input.len() as u64));
    let (app, hold) = app.into_parts();
    let pool = &listener.site.buffers;
    let up = Direction::new(pool, input);
    let down = Direction::new(pool, from_app);
    spawn_local(Upgraded {
        tunnel: Tunnel::new((stream, up), (app, down), watch, timeout),
        account,
        listener,
        is_told: false,
        _hold: hold,
    });
}

/// A client's connection after an upgrade. However it ends, it is counted and told.
struct Upgraded {
    tunnel: Tunnel,
    account: Option<Box<Account>>,
    listener: Present,
    /// Once only, whatever ends it.
    is_told: bool,
    /// Kept for as long as the tunnel is.
    _hold: Hold,
}

impl Future for Upgraded {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let end = ready!(Pin::new(&mut this.tunnel).poll(cx));
        this.tell(Some(&end));
        Poll::Ready(())
    }
}

impl Upgraded {
    /// Counts and tells once that it is over; none for `end` where the worker was stopped.
    fn tell(&mut self, end: Option<&TunnelEnd>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let client = self.tunnel.client();
        let (received, sent) = (client.received(), client.sent());
        self.listener.count_bytes(received, sent);
        if let Some(account) = self.account.take() {
            account.close_tunnel(end, received, sent);
        }
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.tell(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tokio keeps beside a future in its task: header, scheduler, number, state, and the list it is in. The whole is
    /// rounded up to [`LINE_BYTES`]. Read from tokio 1.54 (`runtime/task/core.rs`), for 64 bits.
    const TASK_BYTES: usize = 104;
    const LINE_BYTES: usize = 128;

    fn task_bytes(future_bytes: usize) -> usize {
        (future_bytes + TASK_BYTES).next_multiple_of(LINE_BYTES)
    }

    /// Bytes of what a function gives back, which may be of a type without a name.
    fn bytes_of<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_that_waits_is_a_task_of_128_bytes_a_state_of_64_and_what_is_known_of_it() {
        // The event loop's 256 bytes for its socket come on top, and a row of the table.
        assert_eq!(task_bytes(size_of::<Pin<Box<u8>>>()), LINE_BYTES);
        let state = bytes_of(life);
        assert!(state <= 64, "the state takes {state}");
        let client = size_of::<Client>();
        assert!(client <= 176, "the client takes {client}");
    }

    #[test]
    fn what_is_held_during_a_request_alone_is_below_two_kibibytes() {
        fn bytes_of<'a, A: 'a, B: 'a, F>(_: impl FnOnce(&'a mut A, &'a B) -> F) -> usize {
            size_of::<F>()
        }
        // Buffers, the log line and waiting for a connection to the app come on top, on the heap.
        let future = bytes_of(crate::http::forward::forward);
        assert!(future <= 2048, "the future takes {future}");
    }

    #[test]
    fn a_tunnel_is_a_task_of_512_bytes() {
        let future = size_of::<Upgraded>();
        assert_eq!(task_bytes(future), 512, "the future takes {future}");
    }
}
