//! One request and its answer in flight: client and app moved at once, in one task.
//!
//! Upload and download run side by side, because an app may answer before it has read everything,
//! and because both sides have to be watched for leaving. Neither is a task of its own: a poll
//! function moves whatever can be moved and then says whom it waits for, and for how long. The half up to
//! the head of the answer is in `head`.

mod head;

use std::task::{Context, Poll, ready};

use lasthop_http1::scan::HeadScan;

pub(super) use head::NoHead;

use super::account::Account;
use super::client::Client;
use super::download::{Answer, Download, Ends};
use super::fault::{Fault, Gone};
use super::forward::{After, Joined};
use super::request::{Manner, Request};
use super::site::ListenerSite;
use super::upload::{UploadError, WaitsFor};
use crate::transport::{Buffer, Failure, Pace};
use crate::upstream::{Connection, Parting};

/// A request and its answer in flight.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a mut Client,
    pub(super) listener: &'a ListenerSite,
    pub(super) request: &'a mut Request,
    manner: &'a mut Manner,
    pub(super) account: &'a mut Account,
    app: Option<Box<Connection>>,
    app_input: Option<Buffer>,
    scan: HeadScan,
    download: Download,
    answer: Option<Answer>,
    /// Whom the present deadline is for.
    waits_for: Option<WaitsFor>,
    /// Watches the client while nobody reads from it.
    client_failure: Option<Failure>,
    /// The answer broke off; what came of it is still on its way to the client.
    broken: Option<Fault>,
    pace: Pace,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        client: &'a mut Client,
        listener: &'a ListenerSite,
        request: &'a mut Request,
        manner: &'a mut Manner,
        account: &'a mut Account,
    ) -> Self {
        let buffer_bytes = request.upstream.settings.buffer.response;
        Self {
            download: Download::new(&listener.site.buffers, buffer_bytes),
            client,
            listener,
            request,
            manner,
            account,
            app: None,
            app_input: None,
            scan: HeadScan::response(),
            answer: None,
            waits_for: None,
            client_failure: None,
            broken: None,
            pace: Pace::default(),
        }
    }

    /// Uses `app` from here on.
    pub(super) fn take(&mut self, mut app: Box<Connection>) {
        self.account.takes(&mut app, &self.request.upstream);
        self.app = Some(app);
    }

    /// Moves the request on. An app that takes no more of it may still be answering.
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Result<(), Fault> {
        let Some(app) = &mut self.app else {
            return Ok(());
        };
        let upload = &mut self.request.upload;
        if upload.waits_for() == WaitsFor::Nobody {
            return Ok(());
        }
        let sent = upload.poll_send(cx, self.client, &mut app.stream, moved);
        self.manner.is_read = upload.is_read();
        match sent {
            Poll::Ready(Err(UploadError::Client(fault))) => return Err(fault),
            Poll::Ready(Err(UploadError::App)) => upload.stop(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Ok(())
    }

    /// Notices a client that leaves, and reads ahead what it sends.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let upload = &self.request.upload;
        if !upload.is_read() && upload.waits_for() == WaitsFor::Client {
            // The upload reads from the client itself.
            return Ok(());
        }
        if upload.is_read() && self.client.may_read_ahead() {
            return match self
                .client
                .poll_gone(cx, &self.listener.site.buffers, false)
            {
                Poll::Ready(gone) => Err(Fault::ClientGone(gone)),
                Poll::Pending => Ok(()),
            };
        }
        // Nobody reads: the app is slower than the client, or the client has asked for much more.
        match self.client.poll_failure(cx, &mut self.client_failure) {
            Poll::Ready(gone) => Err(Fault::ClientGone(gone)),
            Poll::Pending => Ok(()),
        }
    }

    /// The head of the final answer is there.
    pub(super) fn begin(&mut self, answer: Answer) {
        if answer.ends == Ends::ByClose {
            // However this connection ends before the answer is whole, by a panic or a kill even, the
            // client must not take it for whole. `finish` takes it back.
            self.client.stream.reset_on_close(true);
        }
        self.answer = Some(answer);
        // What is left of an interim answer goes out before this one: nothing of ours is to follow it.
        self.manner.is_torn = false;
    }

    /// Moves the answer to the client, and the rest of the request to the app; ready once the
    /// client has all of the answer.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut moved = false;
        let polled = self.poll_move(cx, &mut moved);
        self.manner.is_answered |= self.download.began;
        match polled {
            Poll::Pending => {}
            ready => return ready,
        }
        self.poll_client(cx)?;
        if moved || self.waits_for.is_none() {
            self.waits_for = Some(self.request.upload.waits_for());
            self.client.watch.due_in(if self.download.is_flushed() {
                self.request.upstream.settings.body_timeout
            } else {
                self.listener.settings.body_timeout
            });
        }
        ready!(self.client.watch.poll_deadline(cx));
        Poll::Ready(Err(if !self.download.is_flushed() {
            Fault::ClientGone(Gone::NotReading)
        } else if self.request.upload.waits_for() == WaitsFor::Client {
            Fault::SlowBody
        } else {
            Fault::AppBodyTimeout(self.request.upstream.settings.body_timeout)
        }))
    }

    fn poll_move(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Result<(), Fault>> {
        if !self.download.is_received() {
            self.poll_upload(cx, moved)?;
        }
        ready!(self.pace.poll_turn(cx, self.client.watch.bulk()));
        let mut reads = 0;
        while reads < self.pace.reads_max() {
            let (was_full, before) = (self.download.is_full(), self.download.received());
            let received = self.poll_receive(cx, self.pace.bytes_left(reads), moved);
            reads += Pace::reads(self.download.received() - before);
            if received.is_ready() && self.download.gathers() && reads < self.pace.reads_max() {
                continue;
            }
            let flushed = self.download.poll_flush(cx, self.client, moved)?;
            if flushed.is_ready() {
                if let Some(fault) = self.broken.take() {
                    return Poll::Ready(Err(fault));
                }
                if self.download.is_received() {
                    return Poll::Ready(Ok(()));
                }
            }
            let has_room_again = was_full && !self.download.is_full();
            if received.is_pending() && !has_room_again {
                return Poll::Pending;
            }
        }
        self.pace.pause(cx, self.client.watch.bulk());
        Poll::Pending
    }

    /// Reads from the app, or splices at most `spliced_max` bytes; lets it go as soon as its answer is whole.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        spliced_max: usize,
        moved: &mut bool,
    ) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        if !self.download.is_received()
            && let Some(app) = &mut self.app
        {
            let from = (&mut app.stream, &mut self.app_input);
            let received = ready!(self.download.poll_receive(cx, from, spliced_max, moved));
            if let Err(fault) = received {
                self.app = None;
                self.broken = Some(fault);
                return Poll::Ready(());
            }
        }
        if !self.download.is_received() {
            return Poll::Ready(());
        }
        self.let_go_of_app();
        Poll::Pending
    }

    /// The answer is whole: the connection waits for its next request, or is closed where the app
    /// said so, sent more than its answer, or has not read the whole request.
    fn let_go_of_app(&mut self) {
        let Some(answer) = &self.answer else { return };
        if answer.ends == Ends::ByUpgrade {
            return;
        }
        let clean = self.app_input.take().is_none_or(|input| input.is_empty());
        let Some(app) = self.app.take() else { return };
        if !(clean && self.request.upload.is_sent()) {
            return;
        }
        let upstream = &self.request.upstream;
        if answer.app_persists {
            let parting = Parting {
                app_timeout: answer.app_timeout,
                needs_rest: answer.app_needs_rest,
                was_choosy: !self.request.is_idempotent,
            };
            upstream.park(app, parting);
        } else {
            upstream.dismiss(app);
        }
    }

    /// What the answer says about the end of the client's connection.
    pub(super) fn ends(&self) -> Ends {
        self.answer
            .as_ref()
            .map_or(Ends::WithClose, |answer| answer.ends)
    }

    /// Whether closing now could lose the answer: bytes that arrive at a closed socket, or lie in
    /// it unread, make the kernel send a reset.
    pub(super) fn client_may_still_send(&self) -> bool {
        !self.client.half_closed && (!self.request.upload.is_read() || self.client.input.is_some())
    }

    /// The answer is whole.
    pub(super) fn finish(&mut self) {
        if self.ends() == Ends::ByClose {
            self.client.stream.reset_on_close(false);
        }
    }

    /// The app has agreed to switch protocols.
    pub(super) fn into_tunnel(mut self) -> After {
        match self.app.take() {
            Some(app) => After::Tunnel(Box::new(Joined {
                app,
                from_app: self.app_input.take(),
                timeout: self.request.upstream.settings.tunnel_timeout,
                account: None,
            })),
            None => After::Close,
        }
    }
}

impl Drop for Exchange<'_> {
    /// A request given up half-way: the app is told at once. An orderly end would wait behind bytes
    /// that an app which does not read will never take.
    fn drop(&mut self) {
        if let Some(app) = &self.app
            && !self.request.upload.is_sent()
        {
            app.stream.reset_on_close(true);
        }
    }
}
