//! How passwords are kept: as a salt, and a hash of both.
//!
//! etcd takes bcrypt, which is slow by design, so that who has stolen the database needs long to guess. Nobody steals a
//! simulated database, and a run has no time to lose: what matters here is that a hash cannot be told beforehand, is the
//! same on all members, and is made by the member that proposes. So the salt is chosen there, and never where it is applied.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// As Go's `base64.StdEncoding`, which does not look at bits that are over.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The hash of a password with this salt.
#[must_use]
pub fn hash(password: &str, salt: u64) -> String {
    format!("{salt:016x}{:016x}", xxh3_64_with_seed(password.as_bytes(), salt))
}

/// Whether `hashed` is a hash of `password`. Nothing is one of no hash.
#[must_use]
pub fn fits(password: &str, hashed: &[u8]) -> bool {
    let salt = hashed.get(..16).and_then(|salt| str::from_utf8(salt).ok());
    let salt = salt.and_then(|salt| u64::from_str_radix(salt, 16).ok());
    salt.is_some_and(|salt| hash(password, salt).as_bytes() == hashed)
}

/// Whether etcd would take a text for a hash: one in base64, in which line breaks do not count.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    BASE64.decode(text.replace(['\r', '\n'], "")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_whatever_the_salt() {
        for salt in [0, 1, u64::MAX] {
            assert!(fits("secret", hash("secret", salt).as_bytes()));
            assert!(!fits("other", hash("secret", salt).as_bytes()));
        }
        assert_ne!(hash("secret", 1), hash("secret", 2));
        assert!(!fits("", b""));
    }

    #[test]
    fn a_hash_is_in_base64() {
        for text in ["", "AAAA", "AA==", "AB==", "A\nAA\r\nA", &hash("secret", 3)] {
            assert!(is_hash(text), "{text:?}");
        }
        for text in ["A", "AA", "AA=", "not base64", "AAA-", "AA==AA=="] {
            assert!(!is_hash(text), "{text:?}");
        }
    }
}
