//! One visit after the other, each knowing what the one before has seen, in one network namespace or in many.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread::ScopedJoinHandle;

use lasthop_kernel::namespace::{self, EnterError, NetworkNamespace};
use lasthop_kernel::process;
use lasthop_ports::Snapshot;
use lasthop_ports::snapshot::Namespace;

use super::DoctorError;
use crate::cli::{DoctorNamespaces, DoctorVisit};
use crate::doctor::{Background, Examination, NotEntered, Report, as_root, examine};

/// Namespaces that are looked at side by side: most of a first visit is waiting.
const SIDE_BY_SIDE: usize = 8;

/// The visits to this host.
pub(super) struct Visits<'a> {
    visit: &'a DoctorVisit,
    /// By the number of the namespace.
    earlier: HashMap<u64, Snapshot>,
}

impl<'a> Visits<'a> {
    pub(super) fn new(visit: &'a DoctorVisit) -> Self {
        Self {
            visit,
            earlier: HashMap::new(),
        }
    }

    /// Looks once more.
    pub(super) fn next(&mut self) -> Result<Report, DoctorError> {
        let report = match self.visit.namespaces {
            DoctorNamespaces::Own => Report::of_one(self.own()),
            DoctorNamespaces::OfProcess(pid) => Report::of_one(self.of_process(pid)?),
            DoctorNamespaces::All => self.all()?,
        };
        // What is gone is forgotten.
        self.earlier = report
            .namespaces
            .iter()
            .filter_map(|one| Some((one.snapshot.namespace.inode?, one.snapshot.clone())))
            .collect();
        Ok(report)
    }

    fn own(&self) -> Examination {
        let inode = inode_of("thread-self");
        examine(&Background {
            namespace: None,
            earlier: inode.and_then(|inode| self.earlier.get(&inode)),
            config: self.visit.config.as_deref(),
        })
    }

    fn of_process(&self, pid: u32) -> Result<Examination, DoctorError> {
        let inode = inode_of(&pid.to_string());
        // Ours needs no privilege to be in.
        if inode.is_some() && inode == inode_of("thread-self") {
            return Ok(self.own());
        }
        let namespace = Namespace {
            inode,
            pid: Some(pid),
            name: process::identity(pid).ok().map(|identity| identity.name),
        };
        self.within(&namespace, pid).map_err(DoctorError::Enter)
    }

    fn within(&self, namespace: &Namespace, pid: u32) -> Result<Examination, EnterError> {
        let earlier = namespace.inode.and_then(|inode| self.earlier.get(&inode));
        let background = Background {
            namespace: Some(namespace),
            earlier,
            config: None,
        };
        namespace::within(pid, || examine(&background))
    }

    fn all(&self) -> Result<Report, DoctorError> {
        let (namespaces, unreadable) = namespace::every().map_err(DoctorError::Namespaces)?;
        let mut report = Report::default();
        for several in namespaces.chunks(SIDE_BY_SIDE) {
            for (namespace, outcome) in several.iter().zip(self.several(several)) {
                match outcome {
                    Ok(examination) => report.namespaces.push(examination),
                    Err(error) => report.not_entered.push(NotEntered {
                        namespace: told(namespace),
                        reason: error.to_string(),
                    }),
                }
            }
        }
        if process::are_hidden() {
            let who = as_root();
            report.unseen.push(format!(
                "the network namespaces of other users' processes, which /proc hides (hidepid){who}"
            ));
        }
        if unreadable > 0 {
            report.unseen.push(format!(
                "the network namespaces of processes that could not be looked at, {unreadable} of them{}",
                as_root()
            ));
        }
        Ok(report)
    }

    fn several(&self, namespaces: &[NetworkNamespace]) -> Vec<Result<Examination, EnterError>> {
        let visit = |one: &NetworkNamespace| {
            if one.own {
                return Ok(self.own());
            }
            self.within(&told(one), one.pid)
        };
        std::thread::scope(|scope| {
            let begun: Vec<_> = namespaces
                .iter()
                .map(|one| {
                    let thread = std::thread::Builder::new().name("visit".to_owned());
                    (one, thread.spawn_scoped(scope, move || visit(one)))
                })
                .collect();
            let end = |(one, begun): (_, io::Result<ScopedJoinHandle<'_, _>>)| match begun {
                Ok(thread) => match thread.join() {
                    Ok(outcome) => outcome,
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                // A host that gives no thread is a reason to look at it, one namespace after the other.
                Err(_) => visit(one),
            };
            begun.into_iter().map(end).collect()
        })
    }
}

fn told(namespace: &NetworkNamespace) -> Namespace {
    Namespace {
        inode: Some(namespace.inode),
        pid: Some(namespace.pid),
        name: Some(namespace.name.clone()),
    }
}

/// The number of the network namespace of a process, by its name in /proc.
fn inode_of(process: &str) -> Option<u64> {
    let file = std::fs::metadata(format!("/proc/{process}/ns/net"));
    file.ok().map(|file| file.ino())
}
