//! How numbers become brightness: the query parameters `vmin`, `vmax`, `log` and `cmap`, and the range.

use std::collections::BTreeMap;

use girih_model::{Error, Result};

use super::colours::Colours;

/// Up to so many values the range is exact.
const MOST_VALUES: usize = 1 << 20;
/// Of more values, so many are looked at.
const SAMPLE: usize = 1 << 18;

/// What the caller wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::format) struct Display {
    pub(super) vmin: Option<f64>,
    pub(super) vmax: Option<f64>,
    pub(super) log: bool,
    pub(super) colours: Option<Colours>,
}

impl Display {
    /// # Errors
    /// `Malformed` for values that do not make sense, naming the parameter.
    pub(in crate::format) fn parse(query: &BTreeMap<String, String>) -> Result<Self> {
        let number = |name: &str| {
            let Some(text) = query.get(name) else { return Ok(None) };
            let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            value.map(Some).ok_or_else(|| Error::malformed(format!("{name} must be a finite number, not {text:?}.")))
        };
        let log = match query.get("log").map(String::as_str) {
            None | Some("false" | "0") => false,
            Some("" | "true" | "1") => true,
            Some(other) => return Err(Error::malformed(format!("log must be true or false, not {other:?}."))),
        };
        let colours = query.get("cmap").map(|name| Colours::named(name)).transpose()?;
        let display = Self { vmin: number("vmin")?, vmax: number("vmax")?, log, colours };
        if let (Some(low), Some(high)) = (display.vmin, display.vmax)
            && low >= high
        {
            return Err(Error::malformed(format!("vmin must be less than vmax, but {low} is not less than {high}.")));
        }
        for (name, bound) in [("vmin", display.vmin), ("vmax", display.vmax)] {
            if let Some(bound) = bound.filter(|bound| log && *bound <= 0.0) {
                return Err(Error::malformed(format!("With log=true, {name} must be greater than zero, not {bound}.")));
            }
        }
        Ok(display)
    }

    /// Whether the caller wants values to be scaled even where they already are brightnesses.
    pub(super) fn scales(&self) -> bool {
        self.vmin.is_some() || self.vmax.is_some() || self.log
    }

    /// The range of values, of which these are all or, of many, some.
    pub(super) fn range(&self, values: &[f64]) -> Range {
        let (low, high) = match (self.vmin, self.vmax) {
            (Some(low), Some(high)) => (low, high),
            _ => {
                let (low, high) = match self.log {
                    true => extremes(values, |value| value.is_finite() && value > 0.0),
                    false => extremes(values, f64::is_finite),
                };
                let low = self.vmin.unwrap_or(low.min(self.vmax.unwrap_or(low)));
                (low, self.vmax.unwrap_or(high.max(low)))
            }
        };
        let scale = |value: f64| if self.log { value.log10() } else { value };
        Range::new(scale(low), scale(high), self.log)
    }

    /// Whether the range depends on the values.
    pub(super) fn looks(&self) -> bool {
        self.vmin.is_none() || self.vmax.is_none()
    }
}

/// Which values are looked at.
pub(super) enum Sample {
    All,
    /// Of many, an even spread that no period of the data can follow (multiples of the golden ratio, modulo one).
    Some(Box<dyn Iterator<Item = usize>>),
}

pub(super) fn sample(count: usize) -> Sample {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    if count <= MOST_VALUES {
        return Sample::All;
    }
    let pick = move |n: u64| ((u128::from(n.wrapping_mul(GOLDEN_RATIO)) * count as u128) >> 64) as usize;
    Sample::Some(Box::new((0..SAMPLE as u64).map(pick)))
}

const LOW: f64 = 0.01;
const HIGH: f64 = 0.99;
/// So many values are quickly sorted.
const FEW: usize = if cfg!(test) { 64 } else { 4096 };

/// The 1st and the 99th percentile of the values that count; zero of none.
fn extremes(values: &[f64], counts: impl Fn(f64) -> bool) -> (f64, f64) {
    let all = |values: &mut dyn Iterator<Item = f64>| values.filter(|value| counts(*value)).collect::<Vec<_>>();
    if values.len() > FEW {
        // Some of them tell about where the percentiles are; then the others are only counted.
        let mut some = all(&mut (0..FEW).map(|n| values[n * values.len() / FEW]));
        some.sort_unstable_by(f64::total_cmp);
        if let (Some(low), Some(high)) = (some.get(some.len() / 32), some.get(some.len() - 1 - some.len() / 32)) {
            let (mut count, mut lows, mut highs) = (0, Vec::new(), Vec::new());
            for value in values.iter().copied().filter(|value| counts(*value)) {
                count += 1;
                if value <= *low {
                    lows.push(value);
                }
                if value >= *high {
                    highs.push(value);
                }
            }
            let before = count - highs.len();
            if let (Some(low), Some(high)) =
                (quantile(&mut lows, count, 0, LOW), quantile(&mut highs, count, before, HIGH))
            {
                return (low, high);
            }
        }
    }
    let mut values = all(&mut values.iter().copied());
    let count = values.len();
    let mut at = |fraction| quantile(&mut values, count, 0, fraction).unwrap_or_default();
    (at(LOW), at(HIGH))
}

/// A quantile of `count` values, interpolated between neighbours; these are all of them but the least `before` and, it may
/// be, the greatest. `None` when what is needed is not among them. They are put into another order.
fn quantile(values: &mut [f64], count: usize, before: usize, fraction: f64) -> Option<f64> {
    let position = count.checked_sub(1)? as f64 * fraction;
    let at = (position.floor() as usize).checked_sub(before).filter(|at| *at < values.len())?;
    let is_last = before + at + 1 == count;
    let (_, below, rest) = values.select_nth_unstable_by(at, f64::total_cmp);
    let below = *below;
    let weight = position.fract();
    if weight == 0.0 || is_last {
        return Some(below);
    }
    let above = rest.iter().copied().min_by(f64::total_cmp)?;
    // In this form because the difference of two large values may overflow.
    Some(if below == above { below } else { below * (1.0 - weight) + above * weight })
}

/// The values that are darkest and brightest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
    log: bool,
    /// Half the difference, because that of two large values may overflow.
    half: f64,
}

impl Range {
    fn new(low: f64, high: f64, log: bool) -> Self {
        Self { low, high, log, half: high / 2.0 - low / 2.0 }
    }

    /// The same as [`Self::brightness`], where it is a mere line.
    pub(super) fn linear(&self) -> Option<impl Fn(f64) -> f64 + use<>> {
        let Self { low, high, log, half } = *self;
        let is_line = !log && low < high;
        is_line.then_some(move |value: f64| ((value / 2.0 - low / 2.0) / half).clamp(0.0, 1.0))
    }

    /// Brightness from 0 to 1; NaN for NaN.
    pub(super) fn brightness(&self, value: f64) -> f64 {
        let value = match self.log {
            true if value <= 0.0 => f64::NEG_INFINITY,
            true => value.log10(),
            false => value,
        };
        if value <= self.low && value < self.high {
            0.0
        } else if value >= self.high && value > self.low {
            1.0
        } else if self.low < self.high {
            (value / 2.0 - self.low / 2.0) / self.half
        } else if value.is_nan() {
            value
        } else {
            0.5
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Display> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Display::parse(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn bad_parameters_are_named() {
        for (query, message) in [
            ("vmin=a", "vmin must be a finite number, not \"a\"."),
            ("vmax=inf", "vmax must be a finite number, not \"inf\"."),
            ("vmin=2&vmax=1", "vmin must be less than vmax, but 2 is not less than 1."),
            ("log=maybe", "log must be true or false, not \"maybe\"."),
            ("log=true&vmin=0", "With log=true, vmin must be greater than zero, not 0."),
        ] {
            assert_eq!(parse(query).unwrap_err().message(), message);
        }
        assert!(parse("cmap=rainbow").unwrap_err().message().contains("viridis"));
    }

    fn brightness(query: &str, values: &[f64]) -> Vec<Option<f64>> {
        let range = parse(query).unwrap().range(values);
        values.iter().map(|value| Some(range.brightness(*value)).filter(|part| !part.is_nan())).collect()
    }

    #[test]
    fn percentiles_are_numpys() {
        let ten: Vec<f64> = (0..11).rev().map(f64::from).collect();
        assert_eq!(extremes(&ten, |_| true), (0.1, 9.9));
        assert_eq!(extremes(&[], |_| true), (0.0, 0.0));
        assert_eq!(extremes(&[7.0], |_| true), (7.0, 7.0));
    }

    proptest! {
        #[test]
        fn percentiles_of_many_are_those_of_all_sorted(
            mut values in prop::collection::vec(prop_oneof![any::<f64>(), (0..5).prop_map(f64::from)], 0..2000)
        ) {
            let found = extremes(&values, f64::is_finite);
            values.retain(|value| value.is_finite());
            let count = values.len();
            let mut at = |fraction| quantile(&mut values, count, 0, fraction).unwrap_or_default();
            prop_assert_eq!(found, (at(LOW), at(HIGH)));
        }

        #[test]
        fn a_line_is_the_rule(low in -9f64..9.0, width in 1e-9f64..9.0, value in any::<f64>()) {
            let range = Range::new(low, low + width, false);
            let (line, rule) = (range.linear().unwrap()(value), range.brightness(value));
            prop_assert!(line == rule || line.is_nan() && rule.is_nan());
        }
    }

    #[test]
    fn brightness_of_awkward_values() {
        assert_eq!(brightness("", &[3.0, 3.0]), [Some(0.5); 2]);
        assert_eq!(brightness("", &[f64::NAN, 1.0]), [None, Some(0.5)]);
        assert_eq!(brightness("", &[f64::NAN]), [None]);
        assert_eq!(
            brightness("vmin=0&vmax=4", &[-1.0, 1.0, 4.0, f64::INFINITY, f64::NEG_INFINITY]),
            [Some(0.0), Some(0.25), Some(1.0), Some(1.0), Some(0.0)]
        );
        assert_eq!(brightness("vmin=1&vmax=100&log=true", &[-5.0, 0.0, 10.0]), [Some(0.0), Some(0.0), Some(0.5)]);
        let extremes = brightness("", &[f64::MIN, 0.0, f64::MAX]);
        assert_eq!(extremes[1], Some(0.5));
        assert!(extremes.iter().all(Option::is_some));
        // The range lies above the only value.
        assert_eq!(brightness("vmin=5", &[1.0]), [Some(0.0)]);
    }

    #[test]
    fn samples_are_even_and_in_bounds() {
        let count = 10_000_000;
        let picked = || match sample(count) {
            Sample::Some(picked) => picked,
            Sample::All => panic!("these are many"),
        };
        let mean = picked().map(|n| n as f64).sum::<f64>() / SAMPLE as f64;
        assert!((mean / count as f64 - 0.5).abs() < 1e-4, "{mean}");
        assert!(picked().all(|n| n < count));
        assert!(matches!(sample(5), Sample::All));
    }
}
