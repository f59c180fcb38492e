//! The chart of `fill`: p99 of a set-up by the connections that are held, a line for each contestant.
//!
//! An SVG (SVG 1.1) in the style of [`super::svg`]. The scale of the latencies is logarithmic, since the curves are tens
//! of times apart. A curve that ends before its time has a mark there with the number of connections.

use std::fmt::Write as _;

use super::hold::grouped;
use super::svg::{STYLE, escaped};
use crate::contestant::Contestant;
use crate::fill::{Curve, FillReport};

/// All in the user units of SVG, which are pixels at its natural size.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 70.0;
/// Right of the plot, for the names of the curves.
const RIGHT: f64 = 150.0;
const BOTTOM: f64 = 50.0;
/// Least distance of two names.
const NAME_PITCH: f64 = 15.0;

/// What tells the curves apart besides their names, in the order of the contestants: ours is the plain thick one.
const LINES: &str = "
  .axis { stroke: #8c96a1; stroke-width: 1; }
  .grid { stroke: #8c96a1; stroke-width: 0.5; opacity: 0.4; }
  .curve { fill: none; stroke: #59636e; stroke-width: 1.5; }
  .curve.first { stroke: #0b7a75; stroke-width: 3; }
  .curve.dash1 { stroke-dasharray: 7 3; }
  .curve.dash2 { stroke-dasharray: 2 3; }
  .curve.dash3 { stroke-dasharray: 9 3 2 3; }
  .curve.dash4 { stroke-dasharray: 1 5; }
  .wall { fill: #c0392b; }
";

/// Where a point of the data lies.
struct Scale {
    to: f64,
    /// Powers of ten, in microseconds.
    lowest: f64,
    highest: f64,
}

impl Scale {
    fn of(report: &FillReport) -> Self {
        let points = curves(report).flat_map(|(_, curve)| points_of(curve));
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for (_, microseconds) in points {
            least = least.min(microseconds);
            most = most.max(microseconds);
        }
        if !least.is_finite() {
            (least, most) = (100.0, 100.0); // no point at all: an empty plot
        }
        let lowest = least.max(1.0).log10().floor();
        Self {
            to: count(report.to),
            lowest,
            highest: most.max(1.0).log10().ceil().max(lowest + 1.0),
        }
    }

    fn x(&self, held: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * held / self.to
    }

    fn y(&self, microseconds: f64) -> f64 {
        let part = (microseconds.max(1.0).log10() - self.lowest) / (self.highest - self.lowest);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part
    }
}

/// The whole chart, ending with a line feed.
pub(crate) fn render(report: &FillReport) -> String {
    let scale = Scale::of(report);
    let mut out = String::new();
    axes(&mut out, &scale);
    let mut ends = Vec::new();
    for (index, (contestant, curve)) in curves(report).enumerate() {
        if let Some(end) = draw(&mut out, &scale, index, curve) {
            ends.push((end, contestant.name));
        }
    }
    name(&mut out, ends);
    let title =
        "Set-up of an upgraded connection by the connections held: p99 in µs, lower is better";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}{LINES}</style>\n\
         <text class=\"title\" x=\"10\" y=\"24\">{title}</text>\n\
         <text class=\"quiet\" x=\"10\" y=\"44\">{}</text>\n{out}</svg>\n",
        escaped(&format!(
            "{} probes a step of {}, one by one; a red mark is where a proxy held no further connection",
            grouped(report.probes),
            grouped(report.step)
        ))
    )
}

fn curves(report: &FillReport) -> impl Iterator<Item = (&Contestant, &Curve)> {
    report
        .curves
        .iter()
        .filter_map(|(contestant, outcome)| Some((contestant, outcome.as_ref().ok()?)))
}

/// Connections held and microseconds.
fn points_of(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    curve.points.iter().filter_map(|point| {
        let latency = point.setups.quantile(990)?;
        Some((count(point.held), latency.as_secs_f64() * 1e6))
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts of connections")]
fn count(connections: usize) -> f64 {
    connections as f64
}

fn axes(out: &mut String, scale: &Scale) {
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut decade = scale.lowest;
    // Ends: a handful of decades.
    while decade <= scale.highest {
        for (part, class) in [(1.0, "axis"), (2.0, "grid"), (5.0, "grid")] {
            let microseconds = part * 10_f64.powf(decade);
            let y = scale.y(microseconds);
            if y < TOP - 1.0 {
                break;
            }
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                out,
                "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\n\
                 <text class=\"quiet\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{microseconds:.0}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        decade += 1.0;
    }
    for tenth in 0..=5 {
        let held = scale.to * f64::from(tenth) / 5.0;
        let x = scale.x(held);
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{floor}\" x2=\"{x:.1}\" y2=\"{}\"/>\n\
             <text class=\"quiet\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{held:.0}</text>",
            floor + 5.0,
            floor + 20.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"quiet\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">connections held</text>",
        f64::midpoint(LEFT, right),
        floor + 38.0
    );
}

/// Draws one curve and says where it ends; `None` for one without a point.
fn draw(out: &mut String, scale: &Scale, index: usize, curve: &Curve) -> Option<(f64, f64)> {
    let place = |(held, microseconds)| (scale.x(held), scale.y(microseconds));
    let mut places: Vec<(f64, f64)> = points_of(curve).map(place).collect();
    let last = *places.last()?;
    let mut end = last;
    if let Some(wall) = &curve.wall {
        end = (scale.x(count(wall.held)), last.1);
        places.push(end);
    }
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let class = match index {
        0 => "first".to_owned(),
        other => format!("dash{other}"),
    };
    let _ = writeln!(
        out,
        "<polyline class=\"curve {class}\" points=\"{}\"/>",
        path.join(" ")
    );
    if let Some(wall) = &curve.wall {
        let _ = writeln!(
            out,
            "<circle class=\"wall\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}</title></circle>",
            end.0,
            end.1,
            escaped(&format!("{} held: {}", grouped(wall.held), wall.reason))
        );
        return Some((end.0 + 4.0, end.1));
    }
    Some(end)
}

/// Writes the names at the ends of the curves, apart from each other.
fn name(out: &mut String, mut ends: Vec<((f64, f64), &'static str)>) {
    ends.sort_by(|((_, one), _), ((_, other), _)| one.total_cmp(other));
    let mut least = f64::NEG_INFINITY;
    for ((x, y), name) in ends {
        let y = (y + 4.0).max(least);
        least = y + NAME_PITCH;
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{y:.1}\">{name}</text>", x + 8.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fill::tests::report;

    #[test]
    fn every_contestant_with_a_point_has_a_curve_and_a_name() {
        let chart = render(&report());
        assert_eq!(chart.matches("<polyline ").count(), 2);
        assert!(chart.contains(">lasthop</text>") && chart.contains(">nginx</text>"));
        assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    }

    #[test]
    fn the_end_of_a_curve_is_marked_where_it_is() {
        let chart = render(&report());
        let x = Scale::of(&report()).x(1250.0);
        assert!(chart.contains(&format!("cx=\"{x:.1}\"")), "{chart}");
        assert_eq!(chart.matches("class=\"wall\"").count(), 1);
        assert!(chart.contains("1,250 held: status 502"), "{chart}");
    }

    #[test]
    fn slower_is_higher_and_nothing_leaves_the_plot() {
        let scale = Scale::of(&report());
        assert!(scale.y(1000.0) < scale.y(200.0));
        for microseconds in [200.0, 210.0, 250.0, 300.0] {
            assert!((TOP..=HEIGHT - BOTTOM).contains(&scale.y(microseconds)));
        }
    }
}
