//! Times as JetStream writes them.

use subjects::Timestamp;

const NANOS_PER_MILLI: i128 = 1_000_000;

/// Milliseconds since 1970 of an RFC 3339 time.
pub(super) fn millis_of_rfc3339(text: &str) -> Result<u64, String> {
    let time = async_nats::datetime::parse_rfc3339(text).map_err(|error| error.to_string())?;
    u64::try_from(time.unix_timestamp_nanos() / NANOS_PER_MILLI)
        .map_err(|_| format!("`{text}` is before 1970"))
}

/// RFC 3339 of a time, e.g. `2023-11-14T22:13:20.123Z`, by the civil calendar
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
pub(super) fn rfc3339(time: Timestamp) -> String {
    let (days, millis) = (time.0 / 86_400_000, time.0 % 86_400_000);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1_000 % 60, millis % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_of_the_server_is_read() {
        assert_eq!(millis_of_rfc3339("2023-11-14T22:13:20.123456789Z"), Ok(1_700_000_000_123));
        assert!(millis_of_rfc3339("yesterday").is_err());
    }

    #[test]
    fn a_known_time_is_written_as_the_standard_says() {
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn any_time_reads_back(millis in 0_u64..4_102_444_800_000) {
            prop_assert_eq!(millis_of_rfc3339(&rfc3339(Timestamp(millis))), Ok(millis));
        }
    }
}
