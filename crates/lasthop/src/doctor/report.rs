//! What is told: the examinations of one or many network namespaces, and what they come to.

use lasthop_kernel::identity::effective_uid;
use lasthop_ports::Severity;
use lasthop_ports::snapshot::Namespace;

use super::Examination;

/// What would help where processes of others cannot be seen, to be put behind what is not; nothing where it does not.
#[must_use]
pub fn as_root() -> &'static str {
    if effective_uid() == 0 {
        ""
    } else {
        " (run it as root)"
    }
}

/// A namespace that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotEntered {
    /// Which.
    pub namespace: Namespace,
    /// Why, in words.
    pub reason: String,
}

/// All that one visit found out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each namespace that was looked at.
    pub namespaces: Vec<Examination>,
    /// The others that there are.
    pub not_entered: Vec<NotEntered>,
    /// What else the visit could not see, in words.
    pub unseen: Vec<String>,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing hurts and nothing will soon, as far as can be seen.
    Healthy,
    /// Something will hurt soon.
    Warning,
    /// Something hurts now.
    Critical,
    /// Sockets could not be listed, and what could be read shows nothing.
    Unknown,
}

impl Verdict {
    /// As programs read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

impl Report {
    /// The report on one namespace.
    #[must_use]
    pub fn of_one(examination: Examination) -> Self {
        Self {
            namespaces: vec![examination],
            ..Self::default()
        }
    }

    /// The worst of all namespaces decides. What is found counts also where sockets could not be listed; that nothing
    /// was found does not.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let severities = self.namespaces.iter().filter_map(Examination::severity);
        match severities.max() {
            Some(Severity::Critical) => Verdict::Critical,
            Some(Severity::Warning) => Verdict::Warning,
            Some(Severity::Note) | None if self.is_blind() => Verdict::Unknown,
            Some(Severity::Note) | None => Verdict::Healthy,
        }
    }

    fn is_blind(&self) -> bool {
        let sees = |one: &Examination| one.snapshot.sockets.is_some();
        !self.namespaces.iter().all(sees) || self.namespaces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lasthop_ports::Snapshot;
    use lasthop_ports::finding::{Code, Finding, Subject};
    use lasthop_ports::snapshot::SocketCounts;

    fn examination(severities: &[Severity], sockets: Option<SocketCounts>) -> Examination {
        let mut snapshot = Snapshot::empty(0);
        snapshot.sockets = sockets;
        let findings = severities.iter().map(|severity| Finding {
            code: Code::PortsTight,
            severity: *severity,
            headline: String::new(),
            subject: Subject::Namespace,
            usage: None,
            forecast: None,
            processes: Vec::new(),
            evidence: Vec::new(),
            remedies: Vec::new(),
        });
        let findings = findings.collect();
        Examination { snapshot, findings }
    }

    #[test]
    fn the_worst_namespace_decides_and_blindness_is_not_health() {
        let seen = Some(SocketCounts::default());
        for (severities, sockets, expected) in [
            (&[][..], seen, Verdict::Healthy),
            (&[Severity::Note], seen, Verdict::Healthy),
            (&[Severity::Note], None, Verdict::Unknown),
            (&[Severity::Warning, Severity::Note], seen, Verdict::Warning),
            (&[Severity::Warning], None, Verdict::Warning),
            (
                &[Severity::Critical, Severity::Warning],
                seen,
                Verdict::Critical,
            ),
        ] {
            let report = Report {
                namespaces: vec![examination(&[], seen), examination(severities, sockets)],
                ..Report::default()
            };
            assert_eq!(report.verdict(), expected, "{severities:?}");
        }
        assert_eq!(Report::default().verdict(), Verdict::Unknown);
    }
}
