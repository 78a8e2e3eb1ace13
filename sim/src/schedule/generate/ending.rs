//! Draws who stays broken when faults are over.

use crate::random::Stream;
use crate::schedule::{Broken, How, Shape};

/// How many seeds of a million end with members that stay broken, where a quorum is left without them.
const BROKEN_PPM: u32 = 333_333;

/// Mostly one member, and never more than a minority: the rest must be able to go on.
pub(super) fn broken(stream: &mut Stream, shape: &Shape) -> Vec<Broken> {
    let minority = u64::from(shape.members.saturating_sub(1) / 2);
    if minority == 0 || !stream.chance(BROKEN_PPM) {
        return Vec::new();
    }
    let count = if stream.chance(500_000) { 1 } else { stream.between(1, minority) };
    let mut members: Vec<_> = shape.member_ids().collect();
    stream.shuffle(&mut members);
    members.truncate(count as usize);
    members.sort_unstable();
    let how = |stream: &mut Stream| {
        *stream.weighted(&[(40, How::Down), (30, How::CutOff), (15, How::Paused), (15, How::Stalled)])
    };
    members.into_iter().map(|member| Broken { member, how: how(stream) }).collect()
}
