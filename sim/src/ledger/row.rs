//! Numbers of 64 bits without a sign, in a database whose numbers have one.

use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seeds::Seeds;

/// As it stands in the database: with the same bits.
pub fn to_row(number: u64) -> i64 {
    number.cast_signed()
}

/// As it is.
pub fn from_row(number: i64) -> u64 {
    number.cast_unsigned()
}

/// What stands in a column as JSON.
///
/// # Errors
///
/// When it is none, or of something else: something else than a ledger wrote it.
pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// `value` as JSON.
///
/// # Errors
///
/// When it has no such form.
pub fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
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
