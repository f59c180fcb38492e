//! Forecasts from curves that hosts draw: what rises is told in time, what wavers is left alone.

use lasthop_ports::{Forecast, Sample, forecast};
use proptest::prelude::*;

const LIMIT: u32 = 28_232;
const START_MS: u64 = 1_800_000_000_000;

/// One sample every `period_ms`, of whatever `count` says at so many seconds.
fn curve(samples: usize, period_ms: u64, count: impl Fn(f64) -> f64) -> Vec<Sample> {
    (0..samples as u64)
        .map(|index| Sample {
            at_ms: START_MS + index * period_ms,
            used: rounded(count((index * period_ms) as f64 / 1000.0)),
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "floats become integers at the nearest end of the range, which is meant"
)]
fn rounded(count: f64) -> u32 {
    count.round() as u32
}

/// Numbers that look random and are the same in each run: the middle bits of a linear congruential generator.
struct Noise(u64);

impl Noise {
    /// From -1 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(u32::MAX >> 2) - 1.0
    }

    fn shake(&mut self, samples: &mut [Sample], by: f64) {
        for sample in samples {
            sample.used = rounded(f64::from(sample.used) + by * self.next());
        }
    }
}

fn is_near(found: f64, truth: f64, part: f64) -> bool {
    (found - truth).abs() <= part * truth.abs()
}

/// Checks the slope and the time left against those of a line.
fn assert_line(found: Option<Forecast>, per_minute: f64, seconds_left: f64) {
    assert!(found.is_some(), "no forecast of +{per_minute} a minute");
    let Some(found) = found else { return };
    assert!(
        is_near(found.per_minute, per_minute, 0.2)
            && is_near(found.seconds_left, seconds_left, 0.2),
        "{found:?} of +{per_minute} a minute and {seconds_left} s"
    );
}

#[test]
fn a_straight_rise_is_told_to_the_second() {
    let samples = curve(30, 1000, |t| 21_400.0 + t * 1130.0 / 60.0);
    let found = forecast(&samples, LIMIT).unwrap();
    let now = 21_400.0 + 29.0 * 1130.0 / 60.0;
    assert!(is_near(found.per_minute, 1130.0, 0.005), "{found:?}");
    let truth = (f64::from(LIMIT) - now) / 1130.0 * 60.0;
    assert!(is_near(found.seconds_left, truth, 0.005), "{found:?}");
    assert!((found.time_left().as_secs_f64() - found.seconds_left).abs() < 1e-6);
}

#[test]
fn five_samples_in_less_than_a_second_are_enough_and_four_are_not() {
    let samples = curve(5, 200, |t| 20_000.0 + 500.0 * t);
    assert_line(forecast(&samples, LIMIT), 30_000.0, 15.7);
    assert_eq!(forecast(&samples[1..], LIMIT), None);
    let burst = curve(5, 199, |t| 20_000.0 + 500.0 * t);
    assert_eq!(forecast(&burst, LIMIT), None, "over 796 ms");
}

#[test]
fn a_rise_after_a_level_is_told_from_its_first_samples_on() {
    let samples = curve(120, 1000, |t| 5_000.0 + 100.0 * (t - 100.0).max(0.0));
    assert_line(forecast(&samples, LIMIT), 6_000.0, 213.3);
}

#[test]
fn what_has_no_trend_upwards_has_no_forecast() {
    let cases: [(&str, Vec<Sample>); 9] = [
        ("nothing", Vec::new()),
        ("a level", curve(120, 1000, |_| 20_000.0)),
        ("a fall", curve(60, 1000, |t| 28_000.0 - 40.0 * t)),
        ("a rise that is over", {
            curve(60, 1000, |t| 20_000.0 + 300.0 * t.min(20.0))
        }),
        (
            "a step",
            curve(60, 1000, |t| if t < 30.0 { 9_000.0 } else { 20_000.0 }),
        ),
        (
            "the limit met",
            curve(60, 1000, |t| (25_000.0 + 100.0 * t).min(28_232.0)),
        ),
        ("over the limit", curve(60, 1000, |t| 28_000.0 + 100.0 * t)),
        (
            "further than a day",
            curve(100, 1000, |t| 5_000.0 + 0.2 * t),
        ),
        ("a curve that is level in the end", {
            curve(120, 1000, |t| 20_000.0 - 15_000.0 * (-t / 8.0).exp())
        }),
    ];
    for (name, samples) in cases {
        assert_eq!(forecast(&samples, LIMIT), None, "{name}");
    }
}

#[test]
fn a_clock_that_was_set_back_leaves_what_was_read_since() {
    let mut samples = curve(40, 1000, |t| 12_000.0 + 100.0 * t);
    for sample in &mut samples[20..] {
        sample.at_ms -= 3_600_000;
    }
    assert_line(forecast(&samples, LIMIT), 6_000.0, 123.3);
    assert_eq!(forecast(&samples[..22], LIMIT), None, "two samples since");
}

#[test]
fn of_samples_at_one_time_the_last_counts() {
    let mut samples = curve(20, 1000, |t| 12_000.0 + 100.0 * t);
    let doubled: Vec<Sample> = samples
        .iter()
        .map(|sample| Sample { used: 7, ..*sample })
        .collect();
    samples = doubled
        .into_iter()
        .zip(samples)
        .flat_map(|(a, b)| [a, b])
        .collect();
    assert_line(forecast(&samples, LIMIT), 6_000.0, 143.3);
    let at_once = vec![samples[0]; 120];
    assert_eq!(forecast(&at_once, LIMIT), None);
}

#[test]
fn noise_around_a_level_is_taken_for_a_trend_in_less_than_one_run_of_a_hundred() {
    let mut noise = Noise(1);
    for samples in [5, 6, 7, 10, 20, 60, 120] {
        let alarms = (0..2000)
            .filter(|_| {
                let mut samples = curve(samples, 1000, |_| 20_000.0);
                noise.shake(&mut samples, 2_000.0);
                forecast(&samples, LIMIT).is_some()
            })
            .count();
        assert!(alarms <= 20, "{alarms} of 2,000 runs of {samples} samples");
    }
}

#[test]
fn the_sawtooth_of_time_wait_is_no_trend_wherever_it_is_looked_at() {
    let mut noise = Noise(2);
    for period in [20.0, 30.0, 45.0, 60.0] {
        for phase in 0..60 {
            let mut samples = curve(120, 1000, |t| {
                let tooth = ((t + f64::from(phase)) / period).fract();
                10_000.0 + 8_000.0 * tooth
            });
            noise.shake(&mut samples, 100.0);
            assert_eq!(forecast(&samples, LIMIT), None, "{period} s, phase {phase}");
        }
    }
}

#[test]
fn a_quarter_of_wild_samples_moves_neither_slope_nor_level() {
    let mut noise = Noise(3);
    let runs = 400;
    let told = (0..runs)
        .filter(|_| {
            let mut samples = curve(60, 1000, |t| 10_000.0 + 100.0 * t);
            for four in samples.chunks_mut(4) {
                let wild = rounded(noise.next().abs() * 3.0) as usize;
                four[wild].used = rounded(14_000.0 + 14_000.0 * noise.next());
            }
            let Some(found) = forecast(&samples, LIMIT) else {
                return false;
            };
            assert_line(Some(found), 6_000.0, 123.3);
            true
        })
        .count();
    assert!(told * 100 >= runs * 95, "{told} of {runs}");
}

proptest! {
    #[test]
    fn a_line_with_noise_is_told_within_a_fifth(
        start in 2_000_u32..20_000,
        rise in 500_u32..6_000,
        samples in 8_usize..=120,
        period_ms in 150_u64..10_000,
        seed in any::<u64>(),
    ) {
        let seconds = (samples - 1) as f64 * period_ms as f64 / 1000.0;
        let slope = f64::from(rise) / seconds;
        let mut readings = curve(samples, period_ms, |t| f64::from(start) + slope * t);
        Noise(seed).shake(&mut readings, f64::from(rise) * 0.05);
        let left = (f64::from(LIMIT) - f64::from(start + rise)) / slope;
        prop_assume!(left < 80_000.0);
        let found = forecast(&readings, LIMIT);
        prop_assert!(found.is_some());
        let found = found.unwrap();
        prop_assert!(is_near(found.seconds_left, left, 0.2), "{found:?}, {left} s");
        prop_assert!(is_near(found.per_minute, slope * 60.0, 0.2), "{found:?}, +{slope} a second");
    }

    #[test]
    fn a_curve_that_bends_is_told_as_its_end_goes_or_not_at_all(
        height in 4_000_u32..20_000,
        constant in 5_u32..400,
        seed in any::<u64>(),
    ) {
        let constant = f64::from(constant);
        let mut samples = curve(120, 1000, |t| 2_000.0 + f64::from(height) * (1.0 - (-t / constant).exp()));
        Noise(seed).shake(&mut samples, 10.0);
        let slope_in_the_middle = f64::from(height) / constant * (-60.0 / constant).exp() * 60.0;
        if let Some(found) = forecast(&samples, LIMIT) {
            prop_assert!(found.per_minute <= slope_in_the_middle * 1.3 + 60.0, "{found:?}, {slope_in_the_middle}");
        }
    }

    #[test]
    fn whatever_was_read_there_is_no_panic_and_no_time_that_is_none(
        samples in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..200),
        limit in any::<u32>(),
    ) {
        let samples: Vec<Sample> = samples.into_iter().map(|(at_ms, used)| Sample { at_ms, used }).collect();
        if let Some(found) = forecast(&samples, limit) {
            prop_assert!(found.seconds_left > 0.0 && found.seconds_left <= 86_400.0);
            prop_assert!(found.per_minute > 0.0 && found.per_minute.is_finite());
        }
    }
}
