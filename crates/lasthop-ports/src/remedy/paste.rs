//! Lines to be pasted, and what may stand in them.
//!
//! Names of units, paths and addresses come from the host, and whoever may create a control group or a socket file
//! chooses them. The operator pastes our lines as root. So a foreign word is either harmless as it stands, or between
//! single quotes, or does not get into a line at all.

use crate::finding::Step;
use crate::snapshot::Namespace;

/// A step of commands.
pub(crate) fn shell<L: Into<String>>(lines: impl IntoIterator<Item = L>) -> Step {
    Step::Shell {
        lines: lines.into_iter().map(Into::into).collect(),
    }
}

/// A step of lines for a file.
pub(crate) fn lines<L: Into<String>>(
    place: impl Into<String>,
    lines: impl IntoIterator<Item = L>,
) -> Step {
    Step::Lines {
        place: place.into(),
        lines: lines.into_iter().map(Into::into).collect(),
    }
}

/// A step that no line can do.
pub(crate) fn words(text: impl Into<String>) -> Step {
    Step::Words { text: text.into() }
}

/// `text` as one word of a shell's line; none where it cannot safely be one.
///
/// A control character or one that turns the direction of writing shows another line than the one that runs, a quote
/// ends the quoting, a dash in front makes an option.
pub(crate) fn word(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._@:+,-".contains(c);
    let quotable = |c: char| c.is_alphanumeric() || c == ' ' || (c.is_ascii_graphic() && c != '\'');
    if text.is_empty() || text.starts_with('-') || !text.chars().all(quotable) {
        return None;
    }
    Some(if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{text}'")
    })
}

/// `command` as it has to be run to concern this namespace's network.
pub(crate) fn inside(namespace: &Namespace, command: &str) -> String {
    namespace.pid.map_or_else(
        || command.to_owned(),
        |pid| format!("nsenter --target {pid} --net {command}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_word_cannot_become_a_command() {
        for (text, word_of_it) in [
            ("nginx.service", Some("nginx.service")),
            ("/run/app/app.sock", Some("/run/app/app.sock")),
            ("/srv/my app/a.sock", Some("'/srv/my app/a.sock'")),
            (
                r"app-site\x2dtwo.service",
                Some(r"'app-site\x2dtwo.service'"),
            ),
            ("$(reboot).service", Some("'$(reboot).service'")),
            ("/srv/büro/a.sock", Some("'/srv/büro/a.sock'")),
            ("a'; reboot; '", None),
            ("-rf", None),
            ("a\nreboot", None),
            ("a\u{202e}b", None),
            ("", None),
        ] {
            assert_eq!(word(text).as_deref(), word_of_it, "{text:?}");
        }
    }
}
