//! Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): which of
//! many things it takes, found by taking away large parts first and then smaller ones.

/// The fewest of `items` with which it still happens, in their order: of what is left, no part of `smallest` ones can
/// be taken away. That it happens with all of them is taken for granted.
///
/// `first` is asked in rounds. It is given a number of attempts, and what is left in the attempt with a given
/// number; its answer is the first attempt in which it still happens.
///
/// # Errors
///
/// Those of `first`, which end the search.
pub fn ddmin<T: Clone + Sync, E>(
    items: Vec<T>,
    smallest: usize,
    mut first: impl FnMut(usize, &(dyn Fn(usize) -> Vec<T> + Sync)) -> Result<Option<usize>, E>,
) -> Result<Vec<T>, E> {
    let mut kept = items;
    // All at once, then the halves, then the quarters.
    let smallest = smallest.max(1);
    let mut size = kept.len().max(smallest);
    while !kept.is_empty() {
        let (mut begin, mut was_removed) = (0, false);
        while begin < kept.len() {
            let attempts = (kept.len() - begin).div_ceil(size);
            let without = |attempt: usize| {
                let gone = begin + attempt * size;
                let mut rest = kept[..gone].to_vec();
                rest.extend_from_slice(kept.get(gone + size..).unwrap_or_default());
                rest
            };
            let Some(attempt) = first(attempts, &without)? else { break };
            let rest = without(attempt);
            // What stands now where the part was that is gone has not been tried yet.
            begin += attempt * size;
            kept = rest;
            was_removed = true;
        }
        match (size, was_removed) {
            // What could not be taken away earlier perhaps can be now.
            (size, true) if size == smallest => {}
            (size, false) if size == smallest => break,
            _ => size = (size / 2).min(kept.len()).max(smallest),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What is left of `items`, and how many attempts that took.
    fn search(items: Vec<u32>, happens: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let mut attempts = 0;
        let kept = ddmin(items, 1, |count, rest| {
            let first = (0..count).find(|attempt| happens(&rest(*attempt)));
            attempts += first.map_or(count, |first| first + 1);
            Ok::<_, Infallible>(first)
        });
        (kept.unwrap_or_else(|never| match never {}), attempts)
    }

    #[test]
    fn the_two_that_it_takes_are_left() {
        for (low, high) in [(0, 1), (0, 99), (17, 18), (31, 64), (98, 99)] {
            let (kept, attempts) =
                search((0..100).collect(), |rest| rest.contains(&low) && rest.contains(&high));
            assert_eq!(kept, [low, high]);
            assert!(attempts < 60, "{attempts} attempts");
        }
    }

    #[test]
    fn nothing_is_left_where_it_takes_nothing() {
        assert_eq!(search((0..1_000).collect(), |_| true), (Vec::new(), 1));
        assert_eq!(search(Vec::new(), |_| false), (Vec::new(), 0));
    }

    #[test]
    fn all_is_left_where_it_takes_all() {
        let (kept, attempts) = search((0..32).collect(), |rest| rest.len() == 32);
        assert_eq!(kept.len(), 32);
        assert_eq!(attempts, 1 + 2 + 4 + 8 + 16 + 32);
    }

    #[test]
    fn of_what_is_left_no_single_one_can_be_taken_away() {
        // It takes 3, and with 5 there also 7: 7 can go only after 5 has gone.
        let happens = |rest: &[u32]| rest.contains(&3) && (!rest.contains(&5) || rest.contains(&7));
        assert_eq!(search(vec![7, 3, 5], happens).0, [3]);
        for modulus in 2..9 {
            let happens = |rest: &[u32]| rest.iter().sum::<u32>() % modulus == 1 && !rest.is_empty();
            let items: Vec<u32> = (0..40).collect();
            if !happens(&items) {
                continue;
            }
            let (kept, _) = search(items, happens);
            assert!(happens(&kept));
            for gone in 0..kept.len() {
                let mut rest = kept.clone();
                rest.remove(gone);
                assert!(!happens(&rest), "{gone} of {kept:?} can be taken away");
            }
        }
    }

    #[test]
    fn smaller_parts_than_is_asked_for_are_not_tried() {
        let kept = ddmin((0..64).collect::<Vec<u32>>(), 8, |count, rest| {
            let first = (0..count).find(|attempt| rest(*attempt).contains(&20));
            Ok::<_, Infallible>(first)
        });
        assert_eq!(kept, Ok((16..24).collect()));
    }

    #[test]
    fn what_ends_the_search_is_handed_on() {
        let ended = ddmin(vec![1, 2, 3], 1, |_, _: &(dyn Fn(usize) -> Vec<i32> + Sync)| Err("interrupted"));
        assert_eq!(ended, Err("interrupted"));
    }
}
