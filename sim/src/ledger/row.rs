//! Numbers of 64 bits without a sign, in a database whose numbers have one.

/// As it stands in the database: with the same bits.
pub fn to_row(number: u64) -> i64 {
    number.cast_signed()
}

/// As it is.
pub fn from_row(number: i64) -> u64 {
    number.cast_unsigned()
}

/// A sum as it stands in the database, where it is shown to people and must not turn negative.
pub fn sum_to_row(sum: u64) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}
