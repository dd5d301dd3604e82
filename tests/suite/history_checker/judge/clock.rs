//! By when something has to be delivered, with the time in which a server could not.

use std::{collections::BTreeMap, time::Duration};

use crate::history_checker::record::{At, History, Outage};

/// How long live delivery may take, where nothing is in its way.
pub const LIVE_BOUND: Duration = Duration::from_secs(5);
/// How long after an outage of Redis connections to it may be away, as they are made
/// anew.
const RECOVERY: Duration = Duration::from_secs(1);
/// Before the end of that, what is stored nowhere may not reach another node.
const RESUBSCRIBED: Duration = Duration::from_secs(3);

pub struct Clock<'a> {
    outages: &'a [Outage],
    /// For each node the times in which it or Redis could not deliver, merged.
    away: BTreeMap<usize, Vec<(At, At)>>,
}

impl<'a> Clock<'a> {
    pub fn new(history: &'a History) -> Self {
        let outages = &history.outages;
        let nodes = outages.iter().filter_map(|outage| outage.node);
        // Under the number of no node those of Redis alone.
        let nodes = nodes.chain([usize::MAX]);
        let away = nodes.map(|node| (node, Self::times_away(outages, node))).collect();
        Self { outages, away }
    }

    fn times_away(outages: &[Outage], node: usize) -> Vec<(At, At)> {
        let of_node = outages.iter().filter(|it| it.node.is_none_or(|other| other == node));
        let recovery = |it: &Outage| it.node.map_or(RECOVERY, |_| Duration::ZERO);
        let mut times: Vec<_> = of_node.map(|it| (it.begins, it.ends + recovery(it))).collect();
        times.sort();
        let mut merged: Vec<(At, At)> = Vec::new();
        for (begins, ends) in times {
            match merged.last_mut() {
                Some(last) if begins <= last.1 => last.1 = last.1.max(ends),
                _ => merged.push((begins, ends)),
            }
        }
        merged
    }

    /// When `LIVE_BOUND` has passed since `from` without the times in which the node
    /// or Redis was away.
    pub fn deadline(&self, node: usize, from: At) -> At {
        let away = self.away.get(&node).or_else(|| self.away.get(&usize::MAX));
        let (mut now, mut left) = (from, LIVE_BOUND);
        for (begins, ends) in away.into_iter().flatten().filter(|(_, ends)| *ends > from) {
            let well = begins.saturating_sub(now);
            if well >= left {
                break;
            }
            left -= well;
            now = *ends;
        }
        now + left
    }

    /// Whether what was stored may be gone: lost between these moments.
    pub fn may_be_lost(&self, from: At, to: At) -> bool {
        self.outages.iter().any(|it| it.loses && it.begins <= to && it.ends >= from)
    }

    /// Whether what is stored nowhere may have been lost on its way through Redis.
    pub fn may_be_lost_on_the_way(&self, from: At, to: At) -> bool {
        let redis = self.outages.iter().filter(|outage| outage.node.is_none());
        redis.into_iter().any(|it| it.begins <= to && it.ends + RESUBSCRIBED >= from)
    }
}
