//! Keys and values are short texts.

/// A short text that is put together without the machinery of formats: a run makes some thousands.
#[derive(Default)]
pub(super) struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// `number` in decimal, with at least so many digits.
    pub(super) fn push_number(&mut self, mut number: u64, digits_min: usize) {
        let mut digits = [b'0'; 20];
        let mut first = digits.len();
        while number > 0 || digits.len() - first < digits_min {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.push(&digits[first..]);
    }

    pub(super) fn push_hexadecimal(&mut self, number: u64) {
        for place in (0..16).rev() {
            self.push(&[b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]]);
        }
    }
}
