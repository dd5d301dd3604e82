//! What a node remembers of the orders of all nodes: which it obeyed, and which it gave
//! that Redis may still lose.
//!
//! An order has a name of its own, under which it stands in the stream. A node obeys each
//! name once: the one that gives an order obeys it at once and not again when it comes
//! back, and an order that is given a second time, because Redis lost it, does nothing
//! where it was heard before.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashSet;

use super::perhaps::Perhaps;
use crate::cluster::Order;

/// An order that is older than this, at a beat that finds the stream whole, was heard by
/// every node that hears at all: nodes beat at least once a second.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// So many names are remembered, and so many orders of this node that are not settled.
const REMEMBERED: usize = 10_000;

/// The place of an order in the stream. Places rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64, u64);

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (time, number) = text.split_once('-')?;
        Some(Self(time.parse().ok()?, number.parse().ok()?))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// An order as it stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    pub(super) order: Order,
}

struct Given {
    place: Place,
    at: Instant,
    named: Named,
}

/// The memory for orders of one node.
#[derive(Default)]
pub(super) struct OrderMemory {
    /// What came before somebody listens.
    unheard: Vec<Order>,
    obeyed: AHashSet<Arc<str>>,
    /// The same names, the oldest first.
    by_age: VecDeque<Arc<str>>,
    /// What this node gave, the oldest first.
    given: VecDeque<Given>,
}

impl OrderMemory {
    /// Whether an order of this name is to be obeyed: the first time it is.
    pub(super) fn is_new(&mut self, name: &Arc<str>) -> bool {
        if !self.obeyed.insert(name.clone()) {
            return false;
        }
        self.by_age.push_back(name.clone());
        if self.by_age.len() > REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.obeyed.remove(&oldest);
        }
        true
    }

    /// Keeps an order until somebody listens.
    pub(super) fn push(&mut self, order: Order) {
        self.unheard.push(order);
    }

    /// The orders nobody heard yet, in their order.
    pub(super) fn take_unheard(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.unheard)
    }

    /// Redis took an order of this node, at this place.
    pub(super) fn gave(&mut self, place: Place, named: Named, at: Instant) {
        self.given.push_back(Given { place, at, named });
        if self.given.len() > REMEMBERED {
            self.given.pop_front();
        }
    }

    /// The last order of this node, where it stands behind `heard`: if Redis does not have
    /// it, Redis lost it.
    pub(super) fn last_given(&self, heard: Place) -> Option<Place> {
        self.given.iter().map(|given| given.place).max().filter(|place| *place > heard)
    }

    /// A beat found the stream whole: what is older is not lost any more.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_fresh = |given: &Given| now.saturating_duration_since(given.at) < SETTLED_AFTER;
        self.given.retain(is_fresh);
    }

    /// Redis lost orders: those of this node that are not settled are to be given again.
    pub(super) fn take_given(&mut self) -> Vec<Named> {
        self.given.drain(..).map(|given| given.named).collect()
    }
}

/// What stands in the stream: a place and fields. `o` is an order, `n` its name, `m` a mark.
pub(super) type StreamedOrder = (String, Perhaps<Vec<(String, String)>>);

/// What an entry of the stream says.
pub(super) enum Streamed {
    Order(Named),
    /// Revocations were stored that Redis had lost: they are to be read.
    Recall,
    /// The stream had nothing.
    Begun,
}

/// Reads an entry of the stream.
pub(super) fn read_entry(
    place: &str,
    Perhaps(fields): Perhaps<Vec<(String, String)>>,
) -> Option<Streamed> {
    let fields = fields?;
    let field = |name| Some(fields.iter().find(|(it, _)| it == name)?.1.as_str());
    match field("m") {
        Some("recall") => return Some(Streamed::Recall),
        Some("begun") => return Some(Streamed::Begun),
        _ => {}
    }
    // Who gave it a name knows it again; else its place is its name.
    let name = field("n").unwrap_or(place).into();
    Some(Streamed::Order(Named { name, order: read_order(field("o")?)? }))
}

/// An order as one of this version.
pub(super) fn read_order(order: &str) -> Option<Order> {
    serde_json::from_str(order).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    fn named(name: &str) -> Named {
        let order = Order::Disconnect { user: UserId::parse("ada").unwrap() };
        Named { name: name.into(), order }
    }

    #[test]
    fn places_are_compared_as_numbers() {
        let place = |text| Place::parse(text).unwrap();
        assert!(place("9-10") > place("9-9") && place("10-0") > place("9-10"));
        assert_eq!(place("12-3").to_string(), "12-3");
        for odd in ["", "1", "a-0", "1-"] {
            assert_eq!(Place::parse(odd), None);
        }
    }

    #[test]
    fn a_name_is_obeyed_once_while_it_is_remembered() {
        let mut memory = OrderMemory::default();
        let first: Arc<str> = "first".into();
        assert!(memory.is_new(&first) && !memory.is_new(&first));
        for n in 0..REMEMBERED {
            assert!(memory.is_new(&n.to_string().into()));
        }
        assert!(memory.is_new(&first), "it is forgotten when there are too many");
        assert_eq!(memory.obeyed.len(), REMEMBERED);
    }

    #[test]
    fn what_is_not_settled_is_given_again() {
        let (mut memory, begin) = (OrderMemory::default(), Instant::now());
        memory.gave(Place(5, 0), named("old"), begin);
        memory.gave(Place(7, 0), named("new"), begin + SETTLED_AFTER / 2);
        assert_eq!(memory.last_given(Place(6, 0)), Some(Place(7, 0)));
        assert_eq!(memory.last_given(Place(7, 0)), None);
        // Redis was away for long: no beat found the stream whole since.
        memory.settle(begin + SETTLED_AFTER);
        assert_eq!(memory.take_given(), [named("new")]);
        assert_eq!(memory.last_given(Place(0, 0)), None);
    }
}
