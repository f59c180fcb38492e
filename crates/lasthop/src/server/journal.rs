//! Both logs as the main thread keeps them: what was lost is told, what repeats is summed up, files
//! are opened anew after a rotation, and in the end nothing stays unwritten.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::ServeError;
use crate::admin::LogDrops;
use crate::config::Config;
use crate::http::report_again;
use crate::observe::{AccessWriter, Drops, LogGuard, Repeats, WorkerLog};

/// How often it is asked whether failures that went unreported are due.
const REPEATS_EVERY: Duration = Duration::from_secs(1);

/// How long the end of the process waits for whoever reads the access log.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// The access log's writer, and what is counted until it is told.
pub(super) struct Journal {
    access: Option<AccessWriter>,
    repeats: Repeats,
    drops: RefCell<Drops>,
}

impl Journal {
    /// Opens the access log, where there is to be one.
    pub(super) fn open(config: &Config, operator: &LogGuard) -> Result<Self, ServeError> {
        let access = AccessWriter::start(&config.log.access, config.log.format)
            .map_err(ServeError::host("open the access log"))?;
        Ok(Self {
            drops: RefCell::new(Drops::new(access.as_ref(), operator)),
            access,
            repeats: Repeats::default(),
        })
    }

    /// A worker's end of the access log.
    pub(super) fn access_for_worker(&self) -> Option<WorkerLog> {
        self.access.as_ref().map(AccessWriter::for_worker)
    }

    /// The process's repeated failures.
    pub(super) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    /// What reads the numbers of lines dropped since the start.
    pub(super) fn drops(&self, operator: &LogGuard) -> impl Fn() -> LogDrops + Send + Sync + use<> {
        let access = self.access.as_ref().map(AccessWriter::drops);
        let operator = operator.drops();
        move || LogDrops {
            access: access.as_ref().map_or(0, |access| access.lines()),
            operator: operator.lines(),
        }
    }

    /// Opens the access log's file anew: the old one was moved away.
    fn reopen(&self) {
        match &self.access {
            Some(access) => access.reopen(),
            None => tracing::info!("no access log to reopen"),
        }
    }

    /// Tells now and then what has happened, and opens files anew at each `rotation`.
    pub(super) async fn keep(&self, config: &Config, mut rotation: Signal) -> Infallible {
        let repeats = self.tell_repeats(config);
        tokio::pin!(repeats);
        let mut drops = interval(Drops::INTERVAL);
        // A host that was suspended has nothing to make up for.
        drops.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                never = &mut repeats => return never,
                _ = rotation.recv() => self.reopen(),
                _ = drops.tick() => self.drops.borrow_mut().tell(),
            }
        }
    }

    /// Tells what has repeated when that is due. Nobody is woken for it while nothing fails.
    async fn tell_repeats(&self, config: &Config) -> Infallible {
        loop {
            self.repeats.unlogged().await;
            sleep(REPEATS_EVERY).await;
            report_again(config, &self.repeats.due(Instant::now()));
        }
    }

    /// Writes what is left, once the workers are gone.
    pub(super) fn finish(mut self, config: &Config) {
        report_again(config, &self.repeats.rest());
        if let Some(access) = self.access.take()
            && !access.finish(FINISH_MAX)
        {
            tracing::warn!("the access log's reader does not keep up: its last lines are lost");
        }
        self.drops.borrow_mut().tell();
    }
}
