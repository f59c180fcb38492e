//! The Prometheus text format, version 0.0.4: families of samples, with their help, their type and escaped labels.
//!
//! Only the form. Which metrics there are is in `metrics`. Ours, because the crates for it keep the numbers as well as
//! write them, and ours are kept by the workers and added up at reading time (docs/decisions/0007-admin-address.md).
//!
//! Source: prometheus.io, "Exposition formats", text-based format.

use std::fmt::{Display, Write as _};

use crate::observe::metrics::Durations;

/// The media type of a page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the numbers of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, and begins at zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value was within each of some bounds.
    Histogram,
}

/// A label's name and value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a family; its samples come next. `name` is a metric's name and `help` one line.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        debug_assert!(
            !help.contains(['\\', '\n']),
            "help needs no escapes: {help}"
        );
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Here and below: writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            page: &mut self.0,
            name,
        }
    }

    /// The whole page.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// The family whose samples are being written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// A sample of a counter or a gauge.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// The samples of a histogram. `_count` is the sum of the buckets, so that a page is consistent in itself even though
    /// the workers go on counting while it is written.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], durations: &Durations) {
        let mut within = 0;
        for (bound, count) in durations.buckets() {
            within += count;
            match bound {
                Some(microseconds) => {
                    let seconds = (microseconds as f64 / 1e6).to_string();
                    self.line("_bucket", labels, Some(("le", &seconds)), within);
                }
                None => self.line("_bucket", labels, Some(("le", "+Inf")), within),
            }
        }
        self.line("_sum", labels, None, durations.sum_seconds());
        self.line("_count", labels, None, within);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[Label<'_>],
        last: Option<Label<'_>>,
        value: impl Display,
    ) {
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels.iter().chain(&last) {
            let _ = write!(self.page, "{separator}{name}=\"");
            escape(value, self.page);
            self.page.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.page.push('}');
        }
        let _ = writeln!(self.page, " {value}");
    }
}

/// Backslash, quote and line feed are what the format escapes in a label's value.
fn escape(value: &str, page: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            _ => page.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::metrics::Histogram;

    #[test]
    fn a_page_is_written_as_the_format_says() {
        let [one, other] = [&[250, 1_000, 60_000_000], &[250, 1_000, 60_000_000]]
            .map(|bounds: &'static [u64; 3]| Histogram::new(bounds));
        one.observe(Duration::from_micros(250));
        one.observe(Duration::from_micros(251));
        other.observe(Duration::from_millis(500));
        other.observe(Duration::from_secs(61));
        let mut page = Page::default();
        let mut family = page.family("a_total", Kind::Counter, "As many.");
        family.sample(&[], 7);
        family.sample(
            &[("route", "a\\b\"c\nd"), ("code", "200")],
            18_446_744_073_709_551_615u64,
        );
        page.family("b_seconds", Kind::Gauge, "Since.")
            .sample(&[("k", "")], 0.25);
        let durations = Durations::of([&one, &other].into_iter()).unwrap();
        page.family("c_seconds", Kind::Histogram, "How long.")
            .histogram(&[("u", "x")], &durations);
        assert_eq!(
            page.into_text(),
            "# HELP a_total As many.\n\
             # TYPE a_total counter\n\
             a_total 7\n\
             a_total{route=\"a\\\\b\\\"c\\nd\",code=\"200\"} 18446744073709551615\n\
             # HELP b_seconds Since.\n\
             # TYPE b_seconds gauge\n\
             b_seconds{k=\"\"} 0.25\n\
             # HELP c_seconds How long.\n\
             # TYPE c_seconds histogram\n\
             c_seconds_bucket{u=\"x\",le=\"0.00025\"} 1\n\
             c_seconds_bucket{u=\"x\",le=\"0.001\"} 2\n\
             c_seconds_bucket{u=\"x\",le=\"60\"} 3\n\
             c_seconds_bucket{u=\"x\",le=\"+Inf\"} 4\n\
             c_seconds_sum{u=\"x\"} 61.500501\n\
             c_seconds_count{u=\"x\"} 4\n"
        );
    }

    #[test]
    fn a_histogram_without_labels_has_only_its_bounds() {
        let histogram = Histogram::new(&[5]);
        let durations = Durations::of(std::iter::once(&histogram)).unwrap();
        let mut page = Page::default();
        page.family("d", Kind::Histogram, "None yet.")
            .histogram(&[], &durations);
        assert!(page.into_text().ends_with(
            "d_bucket{le=\"0.000005\"} 0\nd_bucket{le=\"+Inf\"} 0\nd_sum 0\nd_count 0\n"
        ));
    }
}
