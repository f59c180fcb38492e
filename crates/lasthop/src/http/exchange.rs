//! One request and its answer in flight: client and app moved at once, in one task.
//!
//! Upload and download run side by side, because an app may answer before it has read everything,
//! and because both sides have to be watched for leaving. Neither is a task of its own: a poll
//! function moves whatever can be moved and then says whom it waits for, and for how long.

use std::task::{Context, Poll, ready};

use lasthop_http1::scan::HeadScan;

use super::account::Account;
use super::client::{Client, poll_fill};
use super::download::{Answer, Download, Ends, Head, head_limits};
use super::fault::{Cut, Fault, Gone};
use super::forward::{After, Joined};
use super::request::{Manner, Request};
use super::site::ListenerSite;
use super::upload::{UploadError, WaitsFor};
use crate::transport::{Buffer, Failure, Pace, READS_IN_A_ROW_MAX};
use crate::upstream::Connection;

/// A request and its answer in flight.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a mut Client,
    pub(super) listener: &'a ListenerSite,
    pub(super) request: &'a mut Request,
    manner: &'a mut Manner,
    pub(super) account: &'a mut Account,
    app: Option<Connection>,
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

/// Why there is no head of an answer.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The app's connection died before it said anything.
    Dead(Cut),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for NoHead {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
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
    pub(super) fn take(&mut self, mut app: Connection) {
        self.account.takes(&mut app, &self.request.upstream);
        self.app = Some(app);
    }

    /// Whether the request can be sent again on another connection without doing harm.
    pub(super) fn can_start_over(&self) -> bool {
        let upload = &self.request.upload;
        let was_reused = self.app.as_ref().is_some_and(|app| app.answers > 0);
        let is_unseen = !upload.has_sent() || (was_reused && self.request.is_idempotent);
        upload.can_start_over() && is_unseen
    }

    /// Lets the dead connection go and rewinds the request.
    pub(super) fn start_over(&mut self) {
        self.app = None;
        self.app_input = None;
        self.scan = HeadScan::response();
        self.waits_for = None;
        self.request.upload.start_over();
    }

    /// Sends what there is to send and reads until a head is whole; ready with its length.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, NoHead>> {
        let mut moved = false;
        self.poll_upload(cx, &mut moved)?;
        if let Poll::Ready(length) = self.poll_scan(cx)? {
            return Poll::Ready(Ok(length));
        }
        // Interim answers; where the client does not take them, the final one will tell.
        let _pending = self.download.poll_flush(cx, self.client, &mut moved)?;
        self.poll_client(cx)?;
        self.manner.is_torn = self.download.began && !self.download.is_flushed();
        let waits_for = match self.request.upload.waits_for() {
            // It waits for the app to say so, and so do we.
            WaitsFor::Client if self.request.expects_continue => WaitsFor::Nobody,
            other => other,
        };
        let time_starts = moved && waits_for != WaitsFor::Nobody;
        if time_starts || self.waits_for != Some(waits_for) {
            self.waits_for = Some(waits_for);
            let settings = &self.request.upstream.settings;
            self.client.watch.due_in(match waits_for {
                WaitsFor::Client => self.listener.settings.body_timeout,
                WaitsFor::App => settings.body_timeout,
                WaitsFor::Nobody => settings.response_timeout,
            });
        }
        ready!(self.client.watch.poll_deadline(cx));
        let settings = &self.request.upstream.settings;
        Poll::Ready(Err(NoHead::Fault(match waits_for {
            WaitsFor::Client => Fault::SlowBody,
            WaitsFor::App => Fault::AppBodyTimeout(settings.body_timeout),
            WaitsFor::Nobody => Fault::ResponseTimeout(settings.response_timeout),
        })))
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

    /// Reads from the app until a head is whole.
    fn poll_scan(&mut self, cx: &mut Context<'_>) -> Result<Poll<usize>, NoHead> {
        let limits = head_limits(self.request.upstream.settings.header_size_max);
        loop {
            if let Some(input) = &self.app_input {
                let bad = |reason| NoHead::Fault(Fault::BadAnswer(reason));
                match self.scan.scan(input.filled()) {
                    Ok(Some(length)) => return Ok(Poll::Ready(length)),
                    Ok(None) => {}
                    Err(fault) => return Err(bad(fault.reason())),
                }
                limits
                    .check_partial_response(input.filled())
                    .map_err(|error| bad(error.reason))?;
            }
            let Some(app) = &mut self.app else {
                return Ok(Poll::Pending);
            };
            let pool = &self.listener.site.buffers;
            let cut = match poll_fill(
                &mut app.stream,
                &mut self.app_input,
                cx,
                pool,
                limits.bytes_max,
            ) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => Cut::Closed,
                Poll::Ready(Ok(_)) => {
                    // From here on the app has seen the request.
                    self.request.upload.commit();
                    continue;
                }
                Poll::Ready(Err(error)) => Cut::Failed(error),
            };
            return Err(match self.app_input {
                None => NoHead::Dead(cut),
                Some(_) => Fault::CutAnswer(cut).into(),
            });
        }
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

    pub(super) fn take_head(&mut self, length: usize) -> Result<Head, Fault> {
        self.scan = HeadScan::response();
        let head = self.download.take_head(
            &mut self.app_input,
            length,
            &self.listener.site,
            self.request,
            self.manner,
        )?;
        match &head {
            // The client has been told to go on, or is about to be.
            Head::Interim => self.request.expects_continue = false,
            Head::Final(answer) => {
                self.account.answers(answer.status, &self.request.upstream);
                self.waits_for = None;
            }
        }
        Ok(head)
    }

    /// The head of the final answer is there.
    pub(super) fn begin(&mut self, answer: Answer) {
        if answer.ends == Ends::ByClose {
            // However this connection ends before the answer is whole, by a panic or a kill even, the
            // client must not take it for whole. `finish` takes it back.
            self.client.stream.reset_on_close(true);
        }
        self.answer = Some(answer);
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
        for _ in 0..READS_IN_A_ROW_MAX {
            let was_full = self.download.is_full();
            let received = self.poll_receive(cx, moved);
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

    /// Reads from the app; lets it go as soon as its answer is whole.
    fn poll_receive(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        if !self.download.is_received()
            && let Some(app) = &mut self.app
        {
            let received =
                ready!(
                    self.download
                        .poll_receive(cx, &mut app.stream, &mut self.app_input, moved)
                );
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
        if let Some(app) = self.app.take()
            && clean
            && answer.app_persists
            && self.request.upload.is_sent()
        {
            let upstream = &self.request.upstream;
            upstream.park(app, answer.app_timeout, answer.app_needs_rest);
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
