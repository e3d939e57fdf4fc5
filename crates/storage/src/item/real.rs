//! Real numbers of every width, and their shortest decimal text.

use std::fmt::Write as _;

use half::f16;

/// A floating-point number in the precision it is stored in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Real {
    Half(f16),
    Single(f32),
    /// Also x86 extended precision (NumPy's `longdouble`), rounded.
    Double(f64),
}

impl Real {
    /// Reads 2, 4, 8 or 16 bytes.
    pub(super) fn read(bytes: &[u8], big: bool) -> Self {
        match bytes.len() {
            2 => Self::Half(f16::from_bits(super::unsigned(bytes, big) as u16)),
            4 => Self::Single(f32::from_bits(super::unsigned(bytes, big) as u32)),
            8 => Self::Double(f64::from_bits(super::unsigned(bytes, big))),
            _ => Self::Double(extended(bytes, big)),
        }
    }

    pub fn to_f64(self) -> f64 {
        match self {
            Self::Half(value) => value.to_f64(),
            Self::Single(value) => f64::from(value),
            Self::Double(value) => value,
        }
    }

    pub fn is_nan(self) -> bool {
        self.to_f64().is_nan()
    }

    /// JSON: the shortest digits that read back as the same `float32` or `float64`; `null` for NaN and infinities.
    pub fn push_json(self, out: &mut String) {
        if !self.to_f64().is_finite() {
            return out.push_str("null");
        }
        let mut buffer = ryu::Buffer::new();
        out.push_str(match self {
            Self::Half(value) => buffer.format_finite(value.to_f32()),
            Self::Single(value) => buffer.format_finite(value),
            Self::Double(value) => buffer.format_finite(value),
        });
    }

    /// Python's `str`: the shortest digits that read back as the same number of the same width,
    /// positional from 1e-4 up to 1e16 and scientific with a two-digit exponent elsewhere.
    pub fn push_text(self, out: &mut String) {
        let value = self.to_f64();
        if value.is_nan() {
            return out.push_str("nan");
        }
        if value.is_infinite() {
            return out.push_str(if value > 0.0 { "inf" } else { "-inf" });
        }
        let mut buffer = ryu::Buffer::new();
        let (shortest, same_below) = match self {
            Self::Half(value) => return push_as_python(&half_digits(value), out),
            Self::Single(value) => (buffer.format_finite(value), 1e12),
            Self::Double(value) => (buffer.format_finite(value), 1e16),
        };
        // In this range ryu's layout is Python's.
        if value == 0.0 || (1e-4..same_below).contains(&value.abs()) {
            out.push_str(shortest);
        } else {
            push_as_python(shortest, out);
        }
    }
}

/// Shortest digits of a half, as `d.ddde±x`.
fn half_digits(value: f16) -> String {
    let exact = value.to_f64();
    let candidates = (0..5).map(|digits| format!("{exact:.digits$e}"));
    let reads_back = |text: &String| text.parse::<f64>().is_ok_and(|parsed| f16::from_f64(parsed) == value);
    let found = candidates.into_iter().find(reads_back);
    found.unwrap_or_else(|| format!("{exact:e}"))
}

/// Lays out a decimal number, `-d.ddde-x` or `0.00ddd`, as Python does.
fn push_as_python(text: &str, out: &mut String) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.push('-');
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all: String = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let leading_zeros = all.len() - digits.len();
    let exponent = exponent.parse().unwrap_or(0) + whole.len() as i32 - 1 - leading_zeros as i32;
    let (digits, exponent) = match digits.trim_end_matches('0') {
        "" => ("0", 0),
        digits => (digits, exponent),
    };
    match exponent {
        -4..=-1 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', (-1 - exponent) as usize));
            out.push_str(digits);
        }
        0..=15 => {
            let point = exponent as usize + 1;
            let (whole, fraction) = digits.split_at(point.min(digits.len()));
            out.push_str(whole);
            out.extend(std::iter::repeat_n('0', point - whole.len()));
            out.push('.');
            out.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            out.push_str(first);
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            // Writing to a String cannot fail.
            let _ = write!(out, "e{sign}{:02}", exponent.abs());
        }
    }
}

/// x86 extended precision in 16 bytes: 64 bits of mantissa with an explicit integer bit, 15 bits of
/// exponent, the sign (Intel SDM vol. 1, section 4.2.2); the rest is padding.
fn extended(bytes: &[u8], big: bool) -> f64 {
    let (mantissa, exponent) = if big {
        let end = bytes.len();
        (super::unsigned(&bytes[end - 8..], true), super::unsigned(&bytes[end - 10..end - 8], true))
    } else {
        (super::unsigned(&bytes[..8], false), super::unsigned(&bytes[8..10], false))
    };
    let sign = if exponent & 0x8000 == 0 { 1.0 } else { -1.0 };
    let power = (exponent & 0x7fff) as i32;
    let magnitude = match power {
        0x7fff if mantissa << 1 == 0 => f64::INFINITY,
        0x7fff => f64::NAN,
        _ => {
            // In two steps, because 2^power alone may lie outside what f64 can hold.
            let power = (power - 16383 - 63).clamp(-1300, 1100);
            mantissa as f64 * 2f64.powi(power / 2) * 2f64.powi(power - power / 2)
        }
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Real) -> String {
        let mut out = String::new();
        value.push_text(&mut out);
        out
    }

    /// Expected texts printed by Python 3.11 and NumPy.
    #[test]
    fn doubles_print_as_in_python() {
        for (value, expected) in [
            (1.5, "1.5"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.25e-5, "1.25e-05"),
            (1e-7, "1e-07"),
            (1e15, "1000000000000000.0"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (123456789012345.6, "123456789012345.6"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (-17179720819105.812, "-17179720819105.812"),
            (-2.5e-5, "-2.5e-05"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(Real::Double(value)), expected);
        }
    }

    #[test]
    fn narrow_floats_print_their_own_shortest_digits() {
        for (value, expected) in [
            (0.1f32, "0.1"),
            (1e-5, "1e-05"),
            (16777216.0, "16777216.0"),
            (3e38, "3e+38"),
            (1e-45, "1e-45"),
            (1e15, "1000000000000000.0"),
            (2.5e16, "2.5e+16"),
        ] {
            assert_eq!(text(Real::Single(value)), expected);
        }
        for (value, expected) in
            [(0.1, "0.1"), (0.333, "0.333"), (65504.0, "65500.0"), (6e-8, "6e-08"), (0.0, "0.0"), (-2.0, "-2.0")]
        {
            assert_eq!(text(Real::Half(f16::from_f64(value))), expected);
        }
    }

    #[test]
    fn json_has_no_nan() {
        let json = |value: Real| {
            let mut out = String::new();
            value.push_json(&mut out);
            out
        };
        assert_eq!(json(Real::Double(f64::NAN)), "null");
        assert_eq!(json(Real::Double(1e16)), "1e16");
        assert_eq!(json(Real::Single(0.1)), "0.1");
        assert_eq!(json(Real::Half(f16::from_f64(0.1))), "0.099975586");
    }

    /// Bytes printed by `numpy.longdouble(...).tobytes()`.
    #[test]
    fn extended_precision_is_rounded() {
        let check = |hex: &str, expected: f64| {
            let bytes: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
            let swapped: Vec<u8> = bytes.iter().rev().copied().collect();
            for read in [extended(&bytes, false), extended(&swapped, true)] {
                assert!(read == expected || (read.is_nan() && expected.is_nan()), "{hex}: {read}");
            }
        };
        check("00000000000000c0ff3f000000000000", 1.5);
        check("00000000000000c000c0000000000000", -3.0);
        check("0000000000000080ff7f000000000000", f64::INFINITY);
        check("00000000000000c0ff7f000000000000", f64::NAN);
        check("00000000000000000000000000000000", 0.0);
        check("0000000000000080cd3b000000000000", 5e-324);
    }
}
