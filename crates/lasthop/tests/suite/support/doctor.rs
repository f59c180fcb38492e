//! The doctor as programs call it: `lasthop doctor --json`, its exit status, and what it said, to be asked for by code.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lasthop_ports::finding::Code;
use serde_json::Value;

use super::PATIENCE;
use super::lasthop::binary;
use super::lines::Lines;

/// What one visit said, and how it ended.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) exit: Option<i32>,
    report: Value,
}

/// Looks at the network namespace of the test.
pub(crate) fn visit() -> Visit {
    visit_with(&[])
}

/// The same with further words.
pub(crate) fn visit_with(words: &[&str]) -> Visit {
    let output = Command::new(binary())
        .args(["doctor", "--json"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&said);
    Visit {
        exit: output.status.code(),
        report: report.unwrap_or_else(|error| panic!("{error}: {said}{complaints}")),
    }
}

/// Looks until a visit is as wanted. The doctor gives up what would take it too long, and on a machine that stands still
/// for a second that may be the owners or the trend; the next visit has them.
pub(crate) fn visit_until(is_wanted: impl Fn(&Visit) -> bool) -> Visit {
    let begun = Instant::now();
    loop {
        let visit = visit();
        if is_wanted(&visit) || begun.elapsed() > PATIENCE {
            return visit;
        }
    }
}

/// Looks until the finding with this code names a process.
pub(crate) fn visit_naming(code: Code) -> Visit {
    visit_until(|visit| {
        let told = visit.all(code).into_iter();
        told.flat_map(|finding| finding["processes"].as_array())
            .any(|processes| !processes.is_empty())
    })
}

/// Judges a recording.
pub(crate) fn replay(recording: &Path) -> Visit {
    visit_with(&["--from", &recording.display().to_string()])
}

impl Visit {
    /// One line of `--watch`.
    fn of_line(line: &str) -> Self {
        Self {
            exit: None,
            report: serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")),
        }
    }

    /// The one network namespace that was looked at.
    pub(crate) fn namespace(&self) -> &Value {
        &self.report["namespaces"][0]
    }

    /// When it was looked at, in milliseconds since 1970.
    pub(crate) fn taken_ms(&self) -> u64 {
        let taken = self.namespace()["taken_ms"].as_u64();
        taken.unwrap_or_else(|| panic!("{}", self.report))
    }

    /// All findings with this code.
    pub(crate) fn all(&self, code: Code) -> Vec<&Value> {
        let findings = self.namespace()["findings"].as_array();
        let findings = findings.unwrap_or_else(|| panic!("{}", self.report));
        let told = findings.iter().filter(|one| one["code"] == code.as_str());
        told.collect()
    }

    /// The finding with this code, of which there has to be one.
    #[track_caller]
    pub(crate) fn one(&self, code: Code) -> &Value {
        match self.all(code)[..] {
            [one] => one,
            _ => panic!("not one {code} in {:#}", self.report),
        }
    }

    /// The finding with this code, of this severity and with all that a finding has to have.
    #[track_caller]
    pub(crate) fn tells(&self, code: Code, severity: &str) -> &Value {
        let finding = self.one(code);
        assert_eq!(finding["severity"], severity, "{finding:#}");
        let has = |field: &str| finding[field].as_array().is_some_and(|all| !all.is_empty());
        assert!(has("evidence"), "{finding:#}");
        assert!(severity == "note" || has("remedies"), "{finding:#}");
        let least = match severity {
            "critical" => 4,
            "warning" => 3,
            _ => 0,
        };
        // Something else may be worse; what is told decides at the least so much.
        assert!(
            self.exit.is_none_or(|exit| exit >= least),
            "exit status {:?} beside {finding:#}",
            self.exit
        );
        finding
    }

    /// That there is no finding with this code.
    #[track_caller]
    pub(crate) fn is_silent_about(&self, code: Code) {
        let told = self.all(code);
        assert!(told.is_empty(), "{told:#?}");
    }

    /// That nothing is found but notes.
    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        assert_eq!(self.exit, Some(0), "{:#}", self.report["namespaces"]);
    }
}

/// `doctor --json --watch`, ended when dropped.
pub(crate) struct Watch {
    child: Child,
    lines: Lines,
    read: usize,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(binary())
            .args(["doctor", "--json", "--watch"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        Self {
            child,
            lines,
            read: 0,
        }
    }

    /// What it says next.
    pub(crate) fn next(&mut self) -> Visit {
        self.read += 1;
        // It rests for twenty times as long as it has looked.
        let lines = self.lines.at_least(self.read, 2 * PATIENCE);
        let line = lines.get(self.read - 1);
        Visit::of_line(line.unwrap_or_else(|| panic!("the watch has said only {lines:?}")))
    }

    /// What it says next that is as wanted, or the last in time.
    pub(crate) fn until(&mut self, is_wanted: impl Fn(&Visit) -> bool) -> Visit {
        let begun = Instant::now();
        loop {
            let visit = self.next();
            if is_wanted(&visit) || begun.elapsed() > PATIENCE {
                return visit;
            }
        }
    }

    /// What it says next, until it has looked on for so long.
    pub(crate) fn for_as_long_as(&mut self, time: Duration) -> Visit {
        let first = self.next();
        let until = first.taken_ms() + u64::try_from(time.as_millis()).expect("a time");
        let mut last = first;
        while last.taken_ms() < until {
            last = self.next();
        }
        last
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
