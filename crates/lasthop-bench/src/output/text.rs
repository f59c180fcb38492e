//! A report for the terminal.

use std::fmt::Write as _;

use super::table;
use crate::report::Report;

/// The whole report, ending with a line feed.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "CPU of the proxy per keep-alive request, one worker each: {}.",
        report.work()
    );
    let _ = writeln!(text, "Load by {}; {}.", report.load, report.cores);
    let _ = writeln!(text, "{}.", report.fields_in_words());
    for proxy in &report.proxies {
        let _ = writeln!(
            text,
            "  {}: {} ({})",
            proxy.rival.name(),
            proxy.version,
            proxy.binary.display()
        );
    }
    for missing in &report.missing {
        let _ = writeln!(text, "  left out: {missing}");
    }
    text.push('\n');
    for row in table::aligned(&table::cells(&report.rows)) {
        let _ = writeln!(text, "{}", row.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn a_missing_rival_is_said() {
        let text = render(&sample::report());
        assert!(text.contains("left out: haproxy: not in PATH"), "{text}");
    }

    #[test]
    fn every_proxy_has_a_row_and_a_version() {
        let text = render(&sample::report());
        assert!(text.contains("nginx: nginx \"1.0\" (/bin/nginx)"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.starts_with("TCP ")).count(),
            2,
            "{text}"
        );
    }
}
