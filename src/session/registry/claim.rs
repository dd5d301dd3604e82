use crate::model::LifeId;

/// How firmly a connection holds its session id, where other nodes may have a
/// connection that holds it too.
///
/// Who claims an id that another connection may hold says so in an order.
/// Orders come to all nodes in one order, and the last of them that names an id
/// holds it. So a connection whose own order is still to come back does not
/// yield to the orders before it: it comes after them on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// It holds the id until an order gives it to another.
    Held,
    /// It is not known yet whether it needs an order.
    Weighed {
        /// Whether it does, whatever the other nodes have.
        contested: bool,
    },
    /// Its order, given in this life of the node, is still to come back.
    Given(LifeId),
    /// Its order came back.
    Settled(LifeId),
}

impl Claim {
    /// Whether its order is still to be given or to come back.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Weighed { .. } | Self::Given(_))
    }

    /// The other nodes have `elsewhere` connections of the user. Answers
    /// whether the order is to be given, as one of this life.
    pub(super) fn decide(&mut self, elsewhere: usize, life: LifeId) -> bool {
        let Self::Weighed { contested } = *self else { return false };
        let needed = contested || elsewhere > 0;
        *self = if needed { Self::Given(life) } else { Self::Held };
        needed
    }

    /// An order came that gives the id to a connection: to one of the same
    /// link in that life, or to another. Answers whether this one has to yield.
    pub(super) fn yields(&mut self, same_link: bool, to: &LifeId) -> bool {
        match self {
            Self::Given(life) | Self::Settled(life) if same_link && life == to => {
                *self = Self::Settled(to.clone());
                false
            }
            Self::Weighed { contested } => {
                // Should ours not be needed for those elsewhere, it is for this one.
                *contested = true;
                false
            }
            Self::Given(_) => false,
            Self::Held | Self::Settled(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_on_its_way_stands_over_those_before_it() {
        let (own, other) = (LifeId::random("a"), LifeId::random("b"));
        let mut claim = Claim::Weighed { contested: false };
        assert!(claim.decide(1, own.clone()));
        assert!(!claim.yields(false, &other));
        assert!(!claim.yields(true, &own));
        assert!(claim.yields(true, &other), "the link's number means nothing in another life");
        assert!(claim.yields(false, &other));
    }

    #[test]
    fn an_id_that_nobody_else_holds_needs_no_order_unless_one_came_meanwhile() {
        let life = LifeId::random("a");
        let mut claim = Claim::Weighed { contested: false };
        assert!(!claim.decide(0, life.clone()));
        assert!(claim.yields(false, &LifeId::random("b")));

        let mut claim = Claim::Weighed { contested: false };
        assert!(!claim.yields(false, &LifeId::random("b")));
        assert!(claim.decide(0, life) && claim.is_open());
    }
}
