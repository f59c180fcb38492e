//! A stream without a socket, for tests that decide what arrives when, and how much each write takes.
//!
//! A test holds the [`FarEnd`] and plays the peer and the kernel in one: it delivers bytes, an end or a
//! reset, grants room for writes, and sees what was sent and how our side was ended. Nothing happens by
//! itself and nothing looks at a clock, so a test runs the same way each time. It does not simulate
//! what belongs to a host and not to a connection: addresses, backlogs, ports, descriptors.
//!
//! Where the kernel or tokio have habits of their own, it has them too: bytes before a reset can still be
//! read, a reset is reported once, readiness outlives a read that filled its buffer, one waker for each
//! direction.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use lasthop_kernel::socket::Peek;

use super::stream::{Failure, Stream};

/// Our end of a simulated connection: what a [`Stream`] holds instead of a socket.
#[derive(Debug)]
pub(super) struct Simulated(Rc<RefCell<Wire>>);

/// The other end, in the hands of a test.
#[derive(Clone, Debug)]
pub struct FarEnd(Rc<RefCell<Wire>>);

/// How our side of a connection stands, as its peer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearEnd {
    /// Nothing has been ended.
    Open,
    /// Our direction is ended; we still read.
    HalfClosed,
    /// Closed in order.
    Closed,
    /// Closed with a reset.
    Reset,
}

/// What has become of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    Pending,
    Accepted,
    Refused,
}

/// How the peer has ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Not,
    /// No byte follows.
    Orderly,
    /// As `Orderly`, and nothing is taken any more either.
    Closed,
    /// A reset that nobody has been told of.
    Reset,
    /// A reset that a call has returned.
    ResetReported,
}

#[derive(Debug)]
struct Wire {
    handshake: Handshake,
    arrived: VecDeque<u8>,
    ended: Ended,
    /// Readiness that a read has not yet found to be wrong.
    seems_readable: bool,
    sent: Vec<u8>,
    /// Bytes that writes may still take.
    room: usize,
    /// Bytes that one write takes at most.
    write_max: usize,
    /// A write found no room.
    is_starved: bool,
    resets_on_close: bool,
    near: NearEnd,
    connector: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    on_failure: Option<Waker>,
}

/// A connection that is open: our end, and the other.
pub fn pair() -> (Stream, FarEnd) {
    let (simulated, far) = wire(Handshake::Accepted);
    (simulated.into(), far)
}

fn wire(handshake: Handshake) -> (Simulated, FarEnd) {
    let wire = Rc::new(RefCell::new(Wire {
        handshake,
        arrived: VecDeque::new(),
        ended: Ended::Not,
        seems_readable: false,
        sent: Vec::new(),
        room: usize::MAX,
        write_max: usize::MAX,
        is_starved: false,
        resets_on_close: false,
        near: NearEnd::Open,
        connector: None,
        reader: None,
        writer: None,
        on_failure: None,
    }));
    (Simulated(Rc::clone(&wire)), FarEnd(wire))
}

/// Where connections go to that an upstream makes: each waits for the test to accept or refuse it.
#[derive(Clone, Debug, Default)]
pub struct Network(Rc<RefCell<Vec<FarEnd>>>);

impl Network {
    /// The far ends of all connections that were ever asked for, in that order.
    pub fn far_ends(&self) -> Vec<FarEnd> {
        self.0.borrow().clone()
    }

    /// Asks for a connection.
    ///
    /// # Errors
    /// `ConnectionRefused` where the test refuses it.
    pub async fn connect(&self) -> io::Result<Stream> {
        let (simulated, far) = wire(Handshake::Pending);
        self.0.borrow_mut().push(far);
        poll_fn(|cx| {
            let mut wire = simulated.0.borrow_mut();
            match wire.handshake {
                Handshake::Pending => {
                    wire.connector = Some(cx.waker().clone());
                    Poll::Pending
                }
                Handshake::Accepted => Poll::Ready(io::Result::Ok(())),
                Handshake::Refused => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            }
        })
        .await?;
        Ok(simulated.into())
    }
}

impl FarEnd {
    /// Whether a connect waits for [`FarEnd::accept`] or [`FarEnd::refuse`].
    pub fn is_connecting(&self) -> bool {
        let wire = self.0.borrow();
        wire.handshake == Handshake::Pending && wire.near == NearEnd::Open
    }

    /// Lets the connect succeed.
    pub fn accept(&self) {
        self.change(|wire| wire.handshake = Handshake::Accepted);
    }

    /// Lets the connect fail.
    pub fn refuse(&self) {
        self.change(|wire| wire.handshake = Handshake::Refused);
    }

    /// Bytes arrive.
    pub fn deliver(&self, bytes: &[u8]) {
        self.change(|wire| {
            debug_assert_eq!(wire.ended, Ended::Not, "bytes behind the end");
            wire.arrived.extend(bytes);
        });
    }

    /// The peer ends its direction and goes on reading (a FIN after `shutdown(2)`).
    pub fn end(&self) {
        self.change(|wire| wire.ended = Ended::Orderly);
    }

    /// The peer closes: it sends nothing more, and what is sent to it fails.
    pub fn close(&self) {
        self.change(|wire| wire.ended = Ended::Closed);
    }

    /// The peer resets the connection.
    pub fn reset(&self) {
        self.change(|wire| wire.ended = Ended::Reset);
    }

    /// The room that there is for writes from here on, in bytes; `usize::MAX` for any number.
    pub fn set_room(&self, bytes: usize) {
        self.change(|wire| {
            wire.room = bytes;
            wire.is_starved &= bytes == 0;
        });
    }

    /// How many bytes one write takes at most from here on.
    pub fn set_write_max(&self, bytes: usize) {
        self.change(|wire| wire.write_max = bytes);
    }

    /// Whether a write waits for room.
    pub fn is_starved(&self) -> bool {
        let wire = self.0.borrow();
        wire.is_starved && wire.near == NearEnd::Open
    }

    /// Takes what was sent since the last time.
    pub fn take_sent(&self) -> Vec<u8> {
        // The memory stays, so that a write in a steady state allocates nothing.
        let sent = &mut self.0.borrow_mut().sent;
        let taken = sent.clone();
        sent.clear();
        taken
    }

    /// How our side stands.
    pub fn near_end(&self) -> NearEnd {
        self.0.borrow().near
    }

    /// Changes something and wakes whoever waits for a change, outside the borrow.
    fn change(&self, change: impl FnOnce(&mut Wire)) {
        let wakers = {
            let mut wire = self.0.borrow_mut();
            change(&mut wire);
            wire.seems_readable = wire.is_readable();
            let wire = &mut *wire;
            let connector = wire
                .connector
                .take_if(|_| wire.handshake != Handshake::Pending);
            let reader = wire.reader.take_if(|_| wire.seems_readable);
            let can_write = wire.room > 0 || wire.ended != Ended::Not;
            let writer = wire.writer.take_if(|_| can_write);
            let failed = wire.on_failure.take_if(|_| wire.ended == Ended::Reset);
            [connector, reader, writer, failed]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wire {
    fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.ended != Ended::Not
    }

    /// The error of a reset, the first time somebody asks.
    fn report(&mut self) -> io::Result<()> {
        if self.ended == Ended::Reset {
            self.ended = Ended::ResetReported;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    /// How many of `bytes` a write may take now.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<usize>> {
        self.report()?;
        let peer_is_gone = matches!(self.ended, Ended::Closed | Ended::ResetReported);
        if peer_is_gone || self.near != NearEnd::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.min(self.room).min(self.write_max);
        self.is_starved = count == 0 && bytes > 0;
        if self.is_starved {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.room != usize::MAX {
            self.room -= count;
        }
        Poll::Ready(Ok(count))
    }
}

impl Simulated {
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        if wire.seems_readable || wire.is_readable() {
            return Poll::Ready(Ok(()));
        }
        wire.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn look<T>(&self, look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let seems_readable = {
            let wire = self.0.borrow();
            wire.seems_readable || wire.is_readable()
        };
        if !seems_readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        look()
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        if wire.arrived.is_empty() {
            wire.report()?;
            wire.seems_readable = wire.ended != Ended::Not;
            if wire.seems_readable {
                return Poll::Ready(Ok(0));
            }
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(wire.arrived.len());
        for (byte, arrived) in bytes.iter_mut().zip(wire.arrived.drain(..count)) {
            *byte = arrived;
        }
        // A short read is taken for the last one there is.
        wire.seems_readable = count == bytes.len() || wire.is_readable();
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let all = slices.iter().map(|slice| slice.len()).sum();
        let count = ready!(wire.poll_room(cx, all))?;
        let mut left = count;
        for slice in slices {
            let taken = left.min(slice.len());
            wire.sent.extend_from_slice(&slice[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(count))
    }

    /// What a look at the socket would say; like tokio's `try_io`, a look that finds nothing takes the
    /// readiness back.
    pub(super) fn peek(&self) -> Peek {
        let mut wire = self.0.borrow_mut();
        wire.seems_readable = wire.is_readable();
        match wire.ended {
            _ if !wire.arrived.is_empty() => Peek::Bytes,
            Ended::Not => Peek::Quiet,
            Ended::Orderly | Ended::Closed | Ended::ResetReported => Peek::Closed,
            Ended::Reset => Peek::Error(io::ErrorKind::ConnectionReset),
        }
    }

    pub(super) fn failure(&self) -> Failure {
        let wire = Rc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            let mut wire = wire.borrow_mut();
            if matches!(wire.ended, Ended::Reset | Ended::ResetReported) {
                return Poll::Ready(());
            }
            wire.on_failure = Some(cx.waker().clone());
            Poll::Pending
        }))
    }

    pub(super) fn reset_on_close(&self, reset: bool) {
        self.0.borrow_mut().resets_on_close = reset;
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        if wire.ended == Ended::ResetReported {
            return Err(io::ErrorKind::NotConnected.into());
        }
        wire.near = NearEnd::HalfClosed;
        Ok(())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.near = if wire.resets_on_close {
            NearEnd::Reset
        } else {
            NearEnd::Closed
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{BufferPool, Disturbance};

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn bytes_before_a_reset_are_read_and_the_reset_is_told_once() {
        let (mut stream, far) = pair();
        let mut buffer = BufferPool::new(1 << 20).lend();
        assert!(buffer.poll_fill(&mut noop(), &mut stream, 9).is_pending());
        far.deliver(b"abc");
        far.reset();
        let mut read = || match buffer.poll_fill(&mut noop(), &mut stream, 9) {
            Poll::Ready(read) => read.map_err(|error| error.kind()),
            Poll::Pending => panic!("a stream that has ended is always ready"),
        };
        assert_eq!(read(), Ok(3));
        assert_eq!(read(), Err(io::ErrorKind::ConnectionReset));
        assert_eq!(read(), Ok(0));
    }

    #[test]
    fn a_write_takes_what_there_is_room_for() {
        let (mut stream, far) = pair();
        far.set_room(5);
        far.set_write_max(3);
        let mut write = |bytes: &[u8]| match stream.poll_write(&mut noop(), &[IoSlice::new(bytes)])
        {
            Poll::Ready(written) => Some(written.map_err(|error| error.kind())),
            Poll::Pending => None,
        };
        assert_eq!(write(b"abcdef"), Some(Ok(3)));
        assert_eq!(write(b"def"), Some(Ok(2)));
        assert_eq!(write(b"f"), None);
        assert!(far.is_starved());
        far.set_room(usize::MAX);
        assert_eq!(write(b"f"), Some(Ok(1)));
        far.close();
        assert_eq!(write(b"g"), Some(Err(io::ErrorKind::BrokenPipe)));
        assert_eq!(far.take_sent(), b"abcdef");
    }

    #[test]
    fn stale_readiness_is_no_disturbance_and_the_end_of_our_side_is_seen() {
        let (mut stream, far) = pair();
        far.deliver(b"ab");
        let mut buffer = BufferPool::new(1 << 20).lend();
        assert!(buffer.poll_fill(&mut noop(), &mut stream, 2).is_ready());
        assert!(
            stream.poll_readable(&mut noop()).is_ready(),
            "the read was not short, so nobody knows"
        );
        assert!(stream.poll_disturbed(&mut noop()).is_pending());
        assert!(stream.poll_readable(&mut noop()).is_pending());
        assert!(stream.is_quiet());
        far.end();
        assert_eq!(
            stream.poll_disturbed(&mut noop()),
            Poll::Ready(Disturbance::Closed)
        );
        stream.shutdown_write().unwrap();
        assert_eq!(far.near_end(), NearEnd::HalfClosed);
        stream.reset_on_close(true);
        drop(stream);
        assert_eq!(far.near_end(), NearEnd::Reset);
    }
}
