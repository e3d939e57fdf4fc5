//! Points in time and spans of time, as ISO 8601 and as NumPy prints them.

use std::fmt::Write as _;

use girih_model::dtype::TimeUnit;

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Day {
    year: i128,
    month: u32,
    day: u32,
}

impl Day {
    /// Days since 1970-01-01 to a date, in eras of 400 years that begin on 1 March.
    fn from_days(days: i128) -> Self {
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
        Self { year: year_of_era + era * 400 + i128::from(month <= 2), month, day }
    }

    fn push(self, out: &mut String) {
        let _ = write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day);
    }
}

/// A date from days since 1970-01-01, as `2020-01-31`.
pub(super) fn push_date(days: i64, out: &mut String) {
    Day::from_days(i128::from(days)).push(out);
}

/// How many ticks of a unit below a day make a second, or how many seconds make a tick.
enum Scale {
    Years,
    Months,
    /// Seconds in one tick.
    Seconds(i128),
    /// Decimal digits after the second.
    Digits(u32),
}

fn scale(unit: &str) -> Scale {
    match unit {
        "Y" => Scale::Years,
        "M" => Scale::Months,
        "W" => Scale::Seconds(7 * 86_400),
        "D" => Scale::Seconds(86_400),
        "h" => Scale::Seconds(3_600),
        "m" => Scale::Seconds(60),
        "s" => Scale::Digits(0),
        "ms" => Scale::Digits(3),
        "us" => Scale::Digits(6),
        "ns" => Scale::Digits(9),
        "ps" => Scale::Digits(12),
        "fs" => Scale::Digits(15),
        _ => Scale::Digits(18),
    }
}

/// How much of a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// As much as the unit has, as NumPy does: `2020`, `2020-01-01T00`, `2020-01-01T00:00:00.000`.
    OfUnit,
    /// Always to the second, and a fraction in groups of three digits where it is not zero: ISO 8601 for every reader.
    Full,
}

/// A point in time, `ticks` of `unit` after 1970-01-01.
pub(super) fn push_datetime(ticks: i64, unit: TimeUnit, precision: Precision, out: &mut String) {
    // A tick count times a unit count fits into 127 bits; the limit keeps the calendar's sums from overflowing.
    let limit = i128::MAX / 1_000_000;
    let total = (i128::from(ticks) * i128::from(unit.count)).clamp(-limit, limit);
    let shown = if precision == Precision::OfUnit { unit.unit } else { "s" };
    let (day, second, fraction, digits) = match scale(unit.unit) {
        Scale::Years => (Day { year: total + 1970, month: 1, day: 1 }, 0, 0, 0),
        Scale::Months => {
            let month = total.rem_euclid(12) as u32 + 1;
            (Day { year: total.div_euclid(12) + 1970, month, day: 1 }, 0, 0, 0)
        }
        Scale::Seconds(seconds) => {
            let per_day = 86_400 / seconds.min(86_400);
            let days = total.div_euclid(per_day) * (seconds / 86_400).max(1);
            (Day::from_days(days), total.rem_euclid(per_day) * seconds.min(86_400) % 86_400, 0, 0)
        }
        Scale::Digits(digits) => {
            let per_second = 10i128.pow(digits);
            let seconds = total.div_euclid(per_second);
            let day = Day::from_days(seconds.div_euclid(86_400));
            (day, seconds.rem_euclid(86_400), total.rem_euclid(per_second), digits)
        }
    };
    match shown {
        "Y" => {
            let _ = write!(out, "{:04}", day.year);
        }
        "M" => {
            let _ = write!(out, "{:04}-{:02}", day.year, day.month);
        }
        "W" | "D" => day.push(out),
        _ => {
            day.push(out);
            let _ = write!(out, "T{:02}", second / 3_600);
            if shown != "h" {
                let _ = write!(out, ":{:02}", second / 60 % 60);
            }
            if shown != "h" && shown != "m" {
                let _ = write!(out, ":{:02}", second % 60);
                push_fraction(fraction, digits, precision == Precision::OfUnit, out);
            }
        }
    }
}

/// A fraction of a second with its point; groups of three zeros at the end are left out unless `all` digits are wanted.
pub(super) fn push_fraction(mut fraction: i128, mut digits: u32, all: bool, out: &mut String) {
    while !all && digits > 0 && fraction % 1_000 == 0 {
        fraction /= 1_000;
        digits -= 3;
    }
    if digits > 0 {
        let _ = write!(out, ".{fraction:0width$}", width = digits as usize);
    }
}

/// NumPy's word for many of a unit.
pub(super) fn plural(unit: &str) -> &'static str {
    match unit {
        "Y" => "years",
        "M" => "months",
        "W" => "weeks",
        "D" => "days",
        "h" => "hours",
        "m" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "ps" => "picoseconds",
        "fs" => "femtoseconds",
        _ => "attoseconds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts printed by NumPy, except that NumPy pads negative years differently.
    fn check(ticks: i64, unit: &str, of_unit: &str, full: &str) {
        let unit = TimeUnit::parse(unit).unwrap();
        for (precision, expected) in [(Precision::OfUnit, of_unit), (Precision::Full, full)] {
            let mut out = String::new();
            push_datetime(ticks, unit, precision, &mut out);
            assert_eq!(out, expected, "{ticks} {unit:?}");
        }
    }

    #[test]
    fn every_unit() {
        check(50, "[Y]", "2020", "2020-01-01T00:00:00");
        check(-1, "[M]", "1969-12", "1969-12-01T00:00:00");
        check(2608, "[W]", "2019-12-26", "2019-12-26T00:00:00");
        check(18262, "[D]", "2020-01-01", "2020-01-01T00:00:00");
        check(11016, "[D]", "2000-02-29", "2000-02-29T00:00:00");
        check(-25509, "[D]", "1900-02-28", "1900-02-28T00:00:00");
        check(20_000_000, "[D]", "56728-02-22", "56728-02-22T00:00:00");
        check(-5, "[h]", "1969-12-31T19", "1969-12-31T19:00:00");
        check(61, "[m]", "1970-01-01T01:01", "1970-01-01T01:01:00");
        check(3661, "[s]", "1970-01-01T01:01:01", "1970-01-01T01:01:01");
        check(-1, "[ms]", "1969-12-31T23:59:59.999", "1969-12-31T23:59:59.999");
        check(150, "[10ms]", "1970-01-01T00:00:01.500", "1970-01-01T00:00:01.500");
        check(1_000, "[ns]", "1970-01-01T00:00:00.000001000", "1970-01-01T00:00:00.000001");
        check(-5, "[as]", "1969-12-31T23:59:59.999999999999999995", "1969-12-31T23:59:59.999999999999999995");
    }

    #[test]
    fn extremes_do_not_overflow() {
        for unit in TimeUnit::UNITS {
            for ticks in [i64::MAX, i64::MIN + 1] {
                let unit = TimeUnit { count: u64::MAX, unit };
                push_datetime(ticks, unit, Precision::Full, &mut String::new());
            }
        }
    }
}
