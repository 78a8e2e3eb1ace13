//! How passwords are kept: as a salt, and a hash of both.
//!
//! etcd takes bcrypt, which is slow by design, so that who has stolen the database needs long to guess. Nobody steals a
//! simulated database, and a run has no time to lose: what matters here is that a hash cannot be told beforehand, is the
//! same on all members, and is made by the member that proposes. So the salt is chosen there, and never where it is applied.

use xxhash_rust::xxh3::xxh3_64_with_seed;

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
}
