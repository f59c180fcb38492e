//! Where a request is dealt with: the state of [`forward`], which is used again for the next request.
//!
//! That state is two KiB, and a connection that waits for its next request must not hold it. Nor should each
//! request allocate, fill and free it. So a worker keeps the desks that are free and lends one to a connection for as
//! long as it has a request under way.
//!
//! A desk is a future that never ends: it takes a job, does it, puts the result down and waits for the next. A future
//! for each request would have to be moved into its place as a whole, each time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::client::Client;
use super::forward::{After, forward};
use super::site::ListenerSite;

/// Desks kept for the next request when they are free, per worker; the rest is freed. As many as there are free
/// buffers, since a request under way has both. Half a MiB in all.
const KEPT_MAX: usize = 256;

/// A worker's free desks.
#[derive(Default)]
pub struct Desks(RefCell<Vec<Desk>>);

impl fmt::Debug for Desks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.0.borrow().len();
        f.debug_struct("Desks").field("free", &free).finish()
    }
}

impl Desks {
    /// A desk for the next request of `client`, which lies there until [`Desk::poll`] gives it back.
    pub(super) fn lend(&self, client: Box<Client>, listener: &Rc<ListenerSite>) -> Desk {
        let free = self.0.borrow_mut().pop();
        let desk = free.unwrap_or_else(Desk::new);
        desk.tray.set(Tray::Job(client, Rc::clone(listener)));
        desk
    }

    /// Keeps a desk for the next request, once the one before is dealt with.
    pub(super) fn take_back(&self, desk: Desk) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT_MAX {
            free.push(desk);
        }
    }
}

/// One place for one request at a time. Dropped with a request under way it takes that along, and its client.
pub(super) struct Desk {
    tray: Rc<Cell<Tray>>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// What lies between a connection and the desk that deals with its request.
#[derive(Default)]
enum Tray {
    /// Nothing: the desk is free, or at work.
    #[default]
    Empty,
    /// A client whose next request is to be dealt with.
    Job(Box<Client>, Rc<ListenerSite>),
    /// The same client afterwards, and what becomes of its connection.
    Done(Box<Client>, After),
}

impl Desk {
    fn new() -> Self {
        let tray = Rc::default();
        let work = Box::pin(work(Rc::clone(&tray)));
        Self { tray, work }
    }

    /// Deals with the request; ready with its client once that is done, and then the desk is free.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Box<Client>, After)> {
        let ended = self.work.as_mut().poll(cx);
        debug_assert!(ended.is_pending(), "a desk never ends");
        match self.tray.take() {
            Tray::Done(client, after) => Poll::Ready((client, after)),
            Tray::Empty | Tray::Job(..) => Poll::Pending,
        }
    }
}

/// Deals with one job after another. Pending while there is none, and nobody is woken for the next: whoever brings it
/// polls.
async fn work(tray: Rc<Cell<Tray>>) {
    loop {
        let (mut client, listener) = poll_fn(|_| match tray.take() {
            Tray::Job(client, listener) => Poll::Ready((client, listener)),
            other => {
                tray.set(other);
                Poll::Pending
            }
        })
        .await;
        let after = forward(&mut client, &listener).await;
        tray.set(Tray::Done(client, after));
    }
}
