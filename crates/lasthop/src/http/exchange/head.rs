//! The first half of an exchange: the request is sent, and the head of its answer waited for.
//!
//! Until the first byte of an answer has come, the app may not have seen the request, and another
//! connection can be tried; from then on it is this one or none.

use std::task::{Context, Poll, ready};

use lasthop_http1::scan::HeadScan;

use super::Exchange;
use crate::http::client::poll_fill;
use crate::http::download::{Head, head_limits};
use crate::http::fault::{Cut, Fault, Gone};
use crate::http::upload::WaitsFor;

/// Why there is no head of an answer.
#[derive(Debug)]
pub(in crate::http) enum NoHead {
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

impl Exchange<'_> {
    /// Whether the request can be sent again on another connection without doing harm.
    pub(in crate::http) fn can_start_over(&self) -> bool {
        let upload = &self.request.upload;
        let was_reused = self.app.as_ref().is_some_and(|app| app.answers > 0);
        let is_unseen = !upload.has_sent() || (was_reused && self.request.is_idempotent);
        upload.can_start_over() && is_unseen
    }

    /// Lets the dead connection go and rewinds the request.
    pub(in crate::http) fn start_over(&mut self) {
        self.app = None;
        self.app_input = None;
        self.scan = HeadScan::response();
        self.waits_for = None;
        self.request.upload.start_over();
    }

    /// Sends what there is to send and reads until a head is whole; ready with its length.
    pub(in crate::http) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, NoHead>> {
        let mut moved = false;
        self.poll_upload(cx, &mut moved)?;
        // A client that takes no interim answers holds up those that follow.
        let was_full = self.download.is_full();
        if !was_full && let Poll::Ready(length) = self.poll_scan(cx)? {
            return Poll::Ready(Ok(length));
        }
        // Where the client does not take them, the final one will tell.
        let _pending = self.download.poll_flush(cx, self.client, &mut moved)?;
        if was_full && !self.download.is_full() {
            cx.waker().wake_by_ref();
        }
        self.poll_client(cx)?;
        self.manner.is_torn = self.download.began && !self.download.is_flushed();
        if self.download.is_full() {
            return self.poll_unread(cx, moved);
        }
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

    /// Nobody but the client can go on: it takes no interim answers, and there is no room for more.
    fn poll_unread<T>(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<Result<T, NoHead>> {
        if self.waits_for.take().is_some() || moved {
            let timeout = self.listener.settings.body_timeout;
            self.client.watch.due_in(timeout);
        }
        ready!(self.client.watch.poll_deadline(cx));
        Poll::Ready(Err(Fault::ClientGone(Gone::NotReading).into()))
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

    pub(in crate::http) fn take_head(&mut self, length: usize) -> Result<Head, Fault> {
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
}
