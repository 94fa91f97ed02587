//! Numbers of JSON as exact decimals, so that `1`, `1.0` and `10e-1` are one number and a limit
//! holds for integers that no floating point number is.

use std::cmp::Ordering;

/// Beyond it an integer does not fit.
const MAXIMUM_DIGITS: usize = 36;

/// `mantissa * 10^exponent`, the mantissa without trailing zeros; or, where the digits do not fit,
/// the nearest floating point number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Decimal {
    Exact { mantissa: i128, exponent: i64 },
    Nearest(f64),
}

impl Decimal {
    /// Reads the text of a JSON number.
    pub(super) fn read(text: &str) -> Self {
        Self::exact(text).unwrap_or_else(|| Self::Nearest(text.parse().unwrap_or(f64::NAN)))
    }

    fn exact(text: &str) -> Option<Self> {
        let (number, power) = match text.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_negative = whole.starts_with('-');
        let whole = whole.trim_start_matches('-');
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self::Exact {
                mantissa: 0,
                exponent: 0,
            });
        }
        if significant.len() > MAXIMUM_DIGITS {
            return None;
        }
        let zeros = digits.len() - digits.trim_end_matches('0').len();
        let exponent = power
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(i64::try_from(zeros).ok()?)?;
        let mantissa: i128 = significant.parse().ok()?;
        Some(Self::Exact {
            mantissa: if is_negative { -mantissa } else { mantissa },
            exponent,
        })
    }

    /// Whether it has no fraction.
    pub(super) fn is_integer(self) -> bool {
        match self {
            Self::Exact { exponent, .. } => exponent >= 0,
            Self::Nearest(number) => number.is_infinite() || number.fract() == 0.0,
        }
    }

    /// Whether it is a whole number of times `step`.
    pub(super) fn is_multiple_of(self, step: Self) -> bool {
        if let Some((number, step)) = self.aligned(step) {
            return step != 0 && number % step == 0;
        }
        let quotient = self.nearest() / step.nearest();
        quotient.is_finite() && quotient.fract() == 0.0
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match self.aligned(other) {
            Some((one, other)) => one.cmp(&other),
            None => self.nearest().total_cmp(&other.nearest()),
        }
    }

    /// Both as whole numbers of the smaller unit, where they fit.
    fn aligned(self, other: Self) -> Option<(i128, i128)> {
        let (
            Self::Exact { mantissa, exponent },
            Self::Exact {
                mantissa: other_mantissa,
                exponent: other_exponent,
            },
        ) = (self, other)
        else {
            return None;
        };
        let unit = exponent.min(other_exponent);
        let scaled = |mantissa: i128, exponent: i64| {
            let power = u32::try_from(exponent.checked_sub(unit)?).ok()?;
            mantissa.checked_mul(10_i128.checked_pow(power)?)
        };
        Some((
            scaled(mantissa, exponent)?,
            scaled(other_mantissa, other_exponent)?,
        ))
    }

    fn nearest(self) -> f64 {
        match self {
            Self::Exact { mantissa, exponent } => {
                format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN)
            }
            Self::Nearest(number) => number,
        }
    }

    /// One spelling for every way to write the number.
    pub(super) fn canonical(self) -> String {
        match self {
            Self::Exact { mantissa, exponent } => format!("{mantissa}e{exponent}"),
            Self::Nearest(number) => format!("{number:e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("0", "-0.00"),
            ("1200", "1.2E3"),
            ("-0.5", "-5e-1"),
        ] {
            assert_eq!(Decimal::read(one), Decimal::read(other), "{one} {other}");
        }
        assert_ne!(
            Decimal::read("9007199254740993"),
            Decimal::read("9007199254740992")
        );
    }

    #[test]
    fn order_and_multiples_are_exact() {
        let read = Decimal::read;
        assert_eq!(read("0.1").compare(read("0.10")), Ordering::Equal);
        assert_eq!(read("-3").compare(read("2.5")), Ordering::Less);
        assert_eq!(read("1e400").compare(read("1e300")), Ordering::Greater);
        assert_eq!(read("1e1000000000").compare(read("10")), Ordering::Greater);
        assert!(read("0.0075").is_multiple_of(read("0.0001")));
        assert!(!read("0.00751").is_multiple_of(read("0.0001")));
        assert!(read("4.5").is_multiple_of(read("1.5")));
        assert!(!read("35").is_multiple_of(read("1.5")));
        assert!(!read("5").is_multiple_of(read("1e-1000000000")));
        assert!(!read("5").is_multiple_of(read("0")));
        assert!(read("12345678901234567890123456789012345678901234567890").is_integer());
        assert!(!read("1.5").is_integer());
    }
}
