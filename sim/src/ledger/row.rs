//! Numbers of 64 bits without a sign, in a database whose numbers have one.

use rusqlite::Row;

use crate::seeds::Seeds;

/// As it stands in the database: with the same bits.
pub fn to_row(number: u64) -> i64 {
    number.cast_signed()
}

/// As it is.
pub fn from_row(number: i64) -> u64 {
    number.cast_unsigned()
}

/// The seeds between the numbers in two columns of `row`.
///
/// # Errors
///
/// When they are none: something else than a ledger wrote them.
pub fn seeds(row: &Row<'_>, first: usize, last: usize) -> rusqlite::Result<Seeds> {
    let (lower, upper) = (row.get(first).map(from_row)?, row.get(last)?);
    match lower <= from_row(upper) {
        true => Ok(Seeds { first: lower, last: from_row(upper) }),
        false => Err(rusqlite::Error::IntegralValueOutOfRange(last, upper)),
    }
}

/// A sum as it stands in the database, where it is shown to people and must not turn negative.
pub fn sum_to_row(sum: u64) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}
