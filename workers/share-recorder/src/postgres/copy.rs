//! Rows in the binary form of `COPY` (PostgreSQL manual, `COPY`, "Binary Format").

use subjects::Timestamp;

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Field count of the end.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Length of a field that is null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// PostgreSQL counts time from the year 2000: in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;

/// Bytes to send; cleared after each sending, so memory stays bounded.
#[derive(Debug)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn start() -> Self {
        Self(HEADER.to_vec())
    }

    pub(super) fn row(&mut self, fields: i16) -> &mut Self {
        self.0.extend(fields.to_be_bytes());
        self
    }

    pub(super) fn int2(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn int4(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn int8(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// `timestamptz`: microseconds.
    pub(super) fn time(&mut self, value: Timestamp) -> &mut Self {
        let millis = i64::try_from(value.0).unwrap_or(i64::MAX);
        self.int8(millis.saturating_sub(EPOCH_MS).saturating_mul(1_000))
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.0.extend(NULL);
        self
    }

    fn field(&mut self, value: &[u8]) -> &mut Self {
        // No field of ours is longer than a name, far below the 1 GiB of a field.
        self.0.extend(i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
        self.0.extend(value);
        self
    }

    pub(super) fn end(&mut self) {
        self.0.extend(TRAILER);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_field_count_and_then_length_and_value_of_each() {
        let mut rows = Rows::start();
        rows.clear();
        rows.row(3).int2(7).null().text("ab");
        rows.end();
        let expected = [0, 3, 0, 0, 0, 2, 0, 7, 255, 255, 255, 255, 0, 0, 0, 2, 97, 98, 255, 255];
        assert_eq!(rows.as_slice(), expected);
    }

    #[test]
    fn time_counts_microseconds_from_the_year_2000() {
        let mut rows = Rows::start();
        rows.clear();
        rows.time(Timestamp(946_684_800_002));
        assert_eq!(rows.as_slice(), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 7, 208]);
    }
}
