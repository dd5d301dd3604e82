use ahash::AHashMap;

use crate::model::RoomName;

/// Why a room is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Somebody of this node is in it; connected, where it is an inbox.
    Occupied,
    /// Somebody of this node watches its owner.
    Watched,
}

/// Which rooms are followed, and which questions wait for the first word of
/// one.
pub(super) struct Following<Q> {
    rooms: AHashMap<RoomName, Followed>,
    waiting: AHashMap<u64, Waiting<Q>>,
    last: u64,
}

#[derive(Default)]
struct Followed {
    occupied: bool,
    watched: bool,
    /// Whether the first word of it came.
    heard: bool,
    /// The questions that wait for it.
    questions: Vec<u64>,
}

struct Waiting<Q> {
    question: Q,
    /// For how many rooms it waits.
    rooms: usize,
}

impl<Q> Default for Following<Q> {
    fn default() -> Self {
        Self { rooms: AHashMap::new(), waiting: AHashMap::new(), last: 0 }
    }
}

impl Followed {
    fn need(&mut self, need: Need) -> &mut bool {
        match need {
            Need::Occupied => &mut self.occupied,
            Need::Watched => &mut self.watched,
        }
    }
}

impl<Q> Following<Q> {
    /// A room is needed; whether it was not followed until now.
    pub(super) fn begin(&mut self, room: &RoomName, need: Need) -> bool {
        let mut is_new = false;
        let followed = self.rooms.entry(room.clone()).or_insert_with(|| {
            is_new = true;
            Followed::default()
        });
        *followed.need(need) = true;
        is_new
    }

    /// A room is not needed for this any more. Where it is for nothing else, it
    /// is followed no more: answers the questions that waited for it alone.
    pub(super) fn end(&mut self, room: &RoomName, need: Need) -> Option<Vec<Q>> {
        let followed = self.rooms.get_mut(room)?;
        *followed.need(need) = false;
        if followed.occupied || followed.watched {
            return None;
        }
        let questions = self.rooms.remove(room)?.questions;
        Some(self.release(questions))
    }

    /// Whether a room is followed.
    pub(super) fn has(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// The first word of a room came, or a later one; answers the questions that
    /// need not wait any more.
    pub(super) fn heard(&mut self, room: &RoomName) -> Vec<Q> {
        let Some(followed) = self.rooms.get_mut(room) else { return Vec::new() };
        followed.heard = true;
        let questions = std::mem::take(&mut followed.questions);
        self.release(questions)
    }

    /// Keeps a question until the first word came of each of these rooms that
    /// is followed; gives it back where there is nothing to wait for.
    pub(super) fn ask(&mut self, rooms: &[RoomName], question: Q) -> Option<Q> {
        self.last += 1;
        let mut missing = 0;
        for room in rooms {
            if let Some(followed) = self.rooms.get_mut(room).filter(|it| !it.heard) {
                followed.questions.push(self.last);
                missing += 1;
            }
        }
        if missing == 0 {
            return Some(question);
        }
        self.waiting.insert(self.last, Waiting { question, rooms: missing });
        None
    }

    fn release(&mut self, questions: Vec<u64>) -> Vec<Q> {
        let waiting = &mut self.waiting;
        let released = questions.into_iter().filter_map(|number| {
            let waits = waiting.get_mut(&number)?;
            waits.rooms -= 1;
            if waits.rooms > 0 {
                return None;
            }
            waiting.remove(&number).map(|waiting| waiting.question)
        });
        released.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn a_question_waits_for_the_first_word_of_each_room() {
        let mut following = Following::default();
        let rooms = [room("a"), room("b"), room("c")];
        assert!(following.begin(&rooms[0], Need::Occupied));
        assert!(following.begin(&rooms[1], Need::Occupied));
        assert_eq!(following.ask(&rooms, 1), None, "two of the three are followed");
        assert!(following.heard(&rooms[0]).is_empty());
        assert_eq!(following.ask(&rooms[..1], 2), Some(2), "the first word is enough");
        assert_eq!(following.heard(&rooms[1]), [1]);
        assert!(following.heard(&rooms[1]).is_empty());
        assert!(following.heard(&rooms[2]).is_empty());
        assert!(following.waiting.is_empty());
    }

    #[test]
    fn a_room_is_followed_while_anything_needs_it() {
        let mut following = Following::default();
        let ada = room("ada");
        assert!(following.begin(&ada, Need::Occupied));
        assert!(!following.begin(&ada, Need::Watched));
        assert_eq!(following.ask(std::slice::from_ref(&ada), 1), None);
        assert_eq!(following.end(&ada, Need::Occupied), None);
        assert!(following.has(&ada));
        assert_eq!(following.end(&ada, Need::Watched), Some(vec![1]), "nothing to wait for");
        assert_eq!(following.end(&ada, Need::Watched), None);
        assert!(following.begin(&ada, Need::Watched), "and it is followed anew");
        assert_eq!(following.ask(&[ada], 2), None, "whose first word is to come");
    }
}
