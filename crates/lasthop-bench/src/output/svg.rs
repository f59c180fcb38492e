//! The chart: CPU time per request of each proxy, a panel of bars for each scenario and transport.
//!
//! An SVG (SVG 1.1) with a style of its own that follows the reader's choice of light or dark, without a background, so
//! that it stands on any page. The panels of one scenario share a scale; each bar is a median and carries its figure,
//! and a line through its end goes from the smallest run to the largest. Written by hand: rectangles and words do not pay for a library.

use std::fmt::Write as _;

use crate::experiment::Comparison;
use crate::experiment::throughput::Throughput;
use crate::report::{Readings, Report};
use crate::rival::Rival;
use crate::spread::Spread;

/// All in the user units of SVG, which are pixels at its natural size.
const WIDTH: usize = 860;
const TOP: usize = 54;
const PANEL_WIDTH: usize = 420;
const HEADING_HEIGHT: usize = 34;
const BAR_HEIGHT: usize = 16;
const BAR_PITCH: usize = 20;
/// Left of the bars, for the names.
const NAME_WIDTH: usize = 62;
/// Right of the longest bar, for its figure.
const FIGURE_WIDTH: usize = 70;

pub(crate) const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .heading { font-weight: 600; }
  .quiet { fill: #59636e; }
  .bar { fill: #8c96a1; }
  .ours { fill: #0b7a75; }
  .range { stroke: #1f2328; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .bar { fill: #6e7681; }
    .ours { fill: #2fb8ae; }
    .range { stroke: #e6edf3; }
  }
";

/// The whole chart, ending with a line feed. Scenarios that count no CPU time per request are not in it.
pub(crate) fn render(report: &Report) -> String {
    let mut panels = String::new();
    let mut y = TOP;
    for section in &report.sections {
        let Readings::Throughput(readings) = &section.readings else {
            continue;
        };
        let longest = readings
            .iter()
            .flat_map(|comparison| &comparison.runs)
            .filter_map(|runs| Some(runs.spread(Throughput::cpu_microseconds)?.max))
            .fold(0.0, f64::max);
        for (column, comparison) in readings.iter().enumerate() {
            panel(
                &mut panels,
                column * PANEL_WIDTH + 10,
                y,
                comparison,
                longest,
            );
        }
        let bars = readings.iter().map(|one| one.runs.len()).max().unwrap_or(0);
        y += HEADING_HEIGHT + bars * BAR_PITCH;
    }
    let height = y + 16;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"CPU time per request of each proxy, by scenario\">\n\
         <style>{STYLE}</style>\n\
         <text class=\"title\" x=\"10\" y=\"24\">CPU time per request, in µs: shorter is better</text>\n\
         <text class=\"quiet\" x=\"10\" y=\"42\">{}</text>\n\
         {panels}</svg>\n",
        escaped(&report.method())
    )
}

/// One scenario over one transport at (`x`, `y`); a bar of `longest` microseconds has the full length.
fn panel(out: &mut String, x: usize, y: usize, comparison: &Comparison<Throughput>, longest: f64) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        "<text class=\"heading\" x=\"{x}\" y=\"{}\">{} <tspan class=\"quiet\">over {}</tspan></text>",
        y + HEADING_HEIGHT - 10,
        comparison.scenario.name,
        comparison.transport
    );
    for (index, runs) in comparison.runs.iter().enumerate() {
        let top = y + HEADING_HEIGHT + index * BAR_PITCH;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\">{}</text>",
            top + BAR_HEIGHT - 4,
            runs.proxy.name()
        );
        bar(
            out,
            x + NAME_WIDTH,
            top,
            runs.proxy,
            runs.spread(Throughput::cpu_microseconds),
            longest,
        );
    }
}

fn bar(out: &mut String, x: usize, top: usize, proxy: Rival, spread: Option<Spread>, longest: f64) {
    let baseline = top + BAR_HEIGHT - 4;
    let Some(spread) = spread else {
        let _ = writeln!(
            out,
            "<text class=\"quiet\" x=\"{x}\" y=\"{baseline}\">failed</text>"
        );
        return;
    };
    #[allow(clippy::cast_precision_loss, reason = "a few hundred pixels")]
    let (left, full) = (x as f64, (PANEL_WIDTH - NAME_WIDTH - FIGURE_WIDTH) as f64);
    let length = |figure: f64| full * figure / longest.max(f64::MIN_POSITIVE);
    let class = if proxy == Rival::Lasthop {
        "ours"
    } else {
        "bar"
    };
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\"/>",
        length(spread.median)
    );
    // From the smallest to the largest run.
    let middle = top + BAR_HEIGHT / 2;
    let _ = writeln!(
        out,
        "<line class=\"range\" x1=\"{:.1}\" y1=\"{middle}\" x2=\"{:.1}\" y2=\"{middle}\"/>",
        left + length(spread.min),
        left + length(spread.max)
    );
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
        left + length(spread.max) + 6.0,
        figure(spread.median)
    );
}

/// With as many digits as a run is exact to.
fn figure(microseconds: f64) -> String {
    let decimals = if microseconds < 100.0 { 1 } else { 0 };
    format!("{microseconds:.decimals$}")
}

/// Text of XML 1.0.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn every_proxy_has_a_bar_in_each_panel_and_only_ours_stands_out() {
        let chart = render(&sample::report());
        assert_eq!(chart.matches("<rect class=\"ours\"").count(), 2);
        assert_eq!(chart.matches("<rect class=\"bar\"").count(), 2);
        assert!(chart.contains(">20.0</text>"), "{chart}");
        assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    }

    #[test]
    fn the_longest_bar_fills_its_room_and_none_is_longer() {
        let chart = render(&sample::report());
        let full = PANEL_WIDTH - NAME_WIDTH - FIGURE_WIDTH;
        assert!(chart.contains(&format!("width=\"{full}.0\"")), "{chart}");
    }

    #[test]
    fn a_proxy_without_a_figure_says_so() {
        let mut out = String::new();
        bar(&mut out, 0, 0, Rival::Nginx, None, 1.0);
        assert!(out.contains(">failed</text>"));
    }
}
