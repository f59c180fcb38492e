//! One visit after the other, each knowing what the one before has seen, in one network namespace or in many.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use lasthop_kernel::namespace::{self, EnterError, NetworkNamespace};
use lasthop_kernel::process;
use lasthop_ports::snapshot::Namespace;

use super::DoctorError;
use crate::cli::{DoctorNamespaces, DoctorVisit};
use crate::doctor::{Background, Examination, Memory, NotEntered, Report, as_root, examine};

/// Namespaces that are looked at side by side: most of a first visit is waiting.
const SIDE_BY_SIDE: usize = 8;

/// By the number of the namespace.
type Memories = HashMap<u64, Memory>;

/// The visits to this host.
pub(super) struct Visits<'a> {
    visit: &'a DoctorVisit,
    /// What was seen before.
    memories: Memories,
}

impl<'a> Visits<'a> {
    pub(super) fn new(visit: &'a DoctorVisit) -> Self {
        Self {
            visit,
            memories: Memories::new(),
        }
    }

    /// Looks once more.
    pub(super) fn next(&mut self) -> Result<Report, DoctorError> {
        // What is gone is forgotten: who is met again puts its memory back.
        let memories = std::mem::take(&mut self.memories);
        match self.visit.namespaces {
            DoctorNamespaces::Own => Ok(Report::of_one(self.of_thread(memories))),
            DoctorNamespaces::OfProcess(pid) => self.of_process(pid, memories).map(Report::of_one),
            DoctorNamespaces::All => self.all(memories),
        }
    }

    fn remember(&mut self, examination: &Examination, memory: Memory) {
        if let Some(inode) = examination.snapshot.namespace.inode {
            self.memories.insert(inode, memory);
        }
    }

    fn of_thread(&mut self, mut memories: Memories) -> Examination {
        let mut memory = memory_of(&mut memories, inode_of("thread-self"));
        let examination = own(self.visit, &mut memory);
        self.remember(&examination, memory);
        examination
    }

    fn of_process(&mut self, pid: u32, mut memories: Memories) -> Result<Examination, DoctorError> {
        let inode = inode_of(&pid.to_string());
        // Ours needs no privilege to be in.
        if inode.is_some() && inode == inode_of("thread-self") {
            return Ok(self.of_thread(memories));
        }
        let namespace = Namespace {
            inode,
            pid: Some(pid),
            name: process::identity(pid).ok().map(|identity| identity.name),
        };
        let mut memory = memory_of(&mut memories, inode);
        let examination = within(&namespace, pid, &mut memory).map_err(DoctorError::Enter)?;
        self.remember(&examination, memory);
        Ok(examination)
    }

    fn all(&mut self, mut memories: Memories) -> Result<Report, DoctorError> {
        let (namespaces, unreadable) = namespace::every().map_err(DoctorError::Namespaces)?;
        let mut report = Report::default();
        for several in namespaces.chunks(SIDE_BY_SIDE) {
            let visited = side_by_side(self.visit, several, &mut memories);
            for (namespace, (outcome, memory)) in several.iter().zip(visited) {
                match outcome {
                    Ok(examination) => {
                        self.remember(&examination, memory);
                        report.namespaces.push(examination);
                    }
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
}

/// What is known of a namespace; nothing of one that was not met before.
fn memory_of(memories: &mut Memories, inode: Option<u64>) -> Memory {
    let known = inode.and_then(|inode| memories.remove(&inode));
    known.unwrap_or_default()
}

fn own(visit: &DoctorVisit, memory: &mut Memory) -> Examination {
    examine(Background {
        namespace: None,
        memory: Some(memory),
        config: visit.config.as_deref(),
    })
}

fn within(namespace: &Namespace, pid: u32, memory: &mut Memory) -> Result<Examination, EnterError> {
    let background = Background {
        namespace: Some(namespace),
        memory: Some(memory),
        config: None,
    };
    namespace::within(pid, || examine(background))
}

/// Each of them with what is remembered of it from now on.
fn side_by_side(
    visit: &DoctorVisit,
    namespaces: &[NetworkNamespace],
    memories: &mut Memories,
) -> Vec<(Result<Examination, EnterError>, Memory)> {
    // Locked by one visit each: a thread that cannot begin gives its memory back to whoever makes the visit instead.
    let known: Vec<Mutex<Memory>> = namespaces
        .iter()
        .map(|one| Mutex::new(memory_of(memories, Some(one.inode))))
        .collect();
    let visit = |one: &NetworkNamespace, memory: &Mutex<Memory>| {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        if one.own {
            return Ok(own(visit, &mut memory));
        }
        within(&told(one), one.pid, &mut memory)
    };
    let visit = &visit;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let begun: Vec<_> = namespaces
            .iter()
            .zip(&known)
            .map(|(one, memory)| {
                let thread = std::thread::Builder::new().name("visit".to_owned());
                let begun = thread.spawn_scoped(scope, move || visit(one, memory));
                (one, memory, begun)
            })
            .collect();
        let end = |(one, memory, begun): (_, _, io::Result<ScopedJoinHandle<'_, _>>)| match begun {
            Ok(thread) => match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            },
            // A host that gives no thread is a reason to look at it, one namespace after the other.
            Err(_) => visit(one, memory),
        };
        begun.into_iter().map(end).collect()
    });
    let known = known.into_iter().map(Mutex::into_inner);
    let known = known.map(|memory| memory.unwrap_or_else(PoisonError::into_inner));
    outcomes.into_iter().zip(known).collect()
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
