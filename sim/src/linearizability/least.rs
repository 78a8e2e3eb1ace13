//! As little of something as is enough.

/// What a trial of some of them comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trial {
    /// They are enough.
    Enough,
    /// They are too few.
    TooFew,
    /// To say so would be too much work.
    Unclear,
    /// There is no work left, for this trial or any other.
    Over,
}

/// As few of `all` as are enough, where more of them are enough whenever fewer are; and whether it is clear of each of those
/// that are left that it cannot be left out.
///
/// ```
/// use vertebra_sim::linearizability::{Trial, least};
///
/// let two = |some: &[u32]| if some.contains(&7) && some.contains(&70) { Trial::Enough } else { Trial::TooFew };
/// assert_eq!(least((0..100).collect(), two), (vec![7, 70], true));
/// assert_eq!(least(vec![7, 8], |_| Trial::Unclear), (vec![7, 8], false));
/// ```
pub fn least<T: Clone>(all: Vec<T>, mut trial: impl FnMut(&[T]) -> Trial) -> (Vec<T>, bool) {
    let (mut kept, mut is_clear) = (all, true);
    // First by halves, so that much goes at once.
    let mut size = kept.len();
    while size > 0 {
        let mut at = 0;
        while at < kept.len() {
            let end = kept.len().min(at + size);
            let fewer = [&kept[..at], &kept[end..]].concat();
            match trial(&fewer) {
                Trial::Enough => kept = fewer,
                Trial::TooFew => at = end,
                Trial::Unclear => {
                    is_clear &= size > 1;
                    at = end;
                }
                Trial::Over => return (kept, false),
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    (kept, is_clear)
}
