//! The pages of docs/findings, one for each code, inside the program: whoever has a finding at night has its page.

use lasthop_ports::finding::{ALL, Code};

use crate::config::nearest;

/// There is no finding of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding `{word}`{hint}")]
pub struct UnknownCode {
    word: String,
    hint: String,
}

/// The page on the finding that is called `word`.
///
/// # Errors
/// [`UnknownCode`], with the nearest name or all of them.
pub fn page(word: &str) -> Result<&'static str, UnknownCode> {
    if let Some(code) = ALL.iter().find(|code| code.as_str() == word) {
        return Ok(text(*code));
    }
    let names = || ALL.iter().map(|code| code.as_str());
    let hint = match nearest(word, names()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => {
            let names: Vec<&str> = names().collect();
            format!("; there are:\n  {}", names.join("\n  "))
        }
    };
    Err(UnknownCode {
        word: word.escape_debug().to_string(),
        hint,
    })
}

macro_rules! page {
    ($name:literal) => {
        include_str!(concat!("../../../../docs/findings/", $name, ".md"))
    };
}

const fn text(code: Code) -> &'static str {
    match code {
        Code::PortsExhausted => page!("ports-exhausted"),
        Code::PortsTight => page!("ports-tight"),
        Code::PortsForecast => page!("ports-forecast"),
        Code::PortsPlateau => page!("ports-plateau"),
        Code::PortParitySlope => page!("port-parity-slope"),
        Code::TimeWaitHeld => page!("time-wait-held"),
        Code::TimeWaitReuseUseless => page!("time-wait-reuse-useless"),
        Code::PortRangeNarrow => page!("port-range-narrow"),
        Code::PortRangeOverlapsListeners => page!("port-range-overlaps-listeners"),
        Code::PortsReserved => page!("ports-reserved"),
        Code::PortsBoundPlainly => page!("ports-bound-plainly"),
        Code::DescriptorsTight => page!("descriptors-tight"),
        Code::FileMaxTight => page!("file-max-tight"),
        Code::ListenBacklogOverflow => page!("listen-backlog-overflow"),
        Code::UnixBacklogFull => page!("unix-backlog-full"),
        Code::BacklogClipped => page!("backlog-clipped"),
        Code::ConntrackTight => page!("conntrack-tight"),
        Code::TimeWaitBucketOverflow => page!("time-wait-bucket-overflow"),
        Code::TcpMemoryTight => page!("tcp-memory-tight"),
        Code::UnixSocketPermission => page!("unix-socket-permission"),
        Code::UnixSocketMissing => page!("unix-socket-missing"),
        Code::UnixSocketStale => page!("unix-socket-stale"),
        Code::AppExposed => page!("app-exposed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_page() {
        for code in ALL {
            let title = page(code.as_str()).unwrap().lines().next().unwrap();
            assert!(title.contains(code.as_str()), "{code}: {title}");
        }
    }

    #[test]
    fn a_wrong_code_is_answered_with_the_nearest_or_with_all() {
        let said = page("port-exhausted").unwrap_err().to_string();
        assert!(said.ends_with("did you mean `ports-exhausted`?"), "{said}");
        let said = page("x\x1b").unwrap_err().to_string();
        assert!(said.starts_with("there is no finding `x\\u{1b}`; there are:\n"));
        assert!(said.contains("\n  app-exposed"));
    }
}
