use crate::model::{LifeId, RoomName, UserId};

/// The names of keys and channels.
///
/// Each begins with the prefix and its kind, so that no name of one kind is one
/// of another. What keys of a script have in common stands in braces: Redis
/// Cluster keeps names with the same text in braces together. Names that people
/// chose cannot close the braces, as they are escaped.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn name(&self, kind: &str, tag: &str) -> String {
        let mut name = String::with_capacity(self.prefix.len() + kind.len() + tag.len() + 4);
        name.push_str(&self.prefix);
        name.push(':');
        name.push_str(kind);
        name.push_str(":{");
        for character in tag.chars() {
            match character {
                '{' => name.push_str("%7B"),
                '}' => name.push_str("%7D"),
                '%' => name.push_str("%25"),
                other => name.push(other),
            }
        }
        name.push('}');
        name
    }

    /// What is known of a room's log, its entries, and its state: the first three
    /// keys of every script of a log.
    pub(super) fn log(&self, room: &RoomName) -> Vec<String> {
        let room = room.as_str();
        vec![self.name("meta", room), self.name("log", room), self.name("state", room)]
    }

    /// What finds the rooms of a pattern, in the words of `SCAN`.
    pub(super) fn rooms(&self, pattern: &str) -> String {
        format!("{}:meta:{{{pattern}}}", self.prefix_as_pattern())
    }

    /// What finds the channels of all rooms, in the words of `PUBSUB CHANNELS`.
    pub(super) fn channels(&self) -> String {
        format!("{}:room:*", self.prefix_as_pattern())
    }

    fn prefix_as_pattern(&self) -> String {
        let mut prefix = String::with_capacity(self.prefix.len());
        for character in self.prefix.chars() {
            if "*?[]\\".contains(character) {
                prefix.push('\\');
            }
            prefix.push(character);
        }
        prefix
    }

    /// The room whose log a key is what is known of.
    pub(super) fn room_of<'a>(&self, meta: &'a str) -> Option<&'a str> {
        meta.strip_prefix(&self.prefix)?.strip_prefix(":meta:{")?.strip_suffix('}')
    }

    /// What remembers that a nonce was used, by a user or by nobody.
    pub(super) fn nonce(&self, room: &RoomName, user: Option<&UserId>, nonce: &str) -> String {
        // With the length, no two pairs make one name. No user's is 0.
        let user = user.map_or("", UserId::as_str);
        format!("{}:{}:{user}:{nonce}", self.name("nonce", room.as_str()), user.len())
    }

    /// Who is in a room.
    pub(super) fn who(&self, room: &RoomName) -> String {
        self.name("who", room.as_str())
    }

    /// How many entries each life has in the roll of a room.
    pub(super) fn lives_in(&self, room: &RoomName) -> String {
        self.name("lives-in", room.as_str())
    }

    /// What backends were not told of a room.
    pub(super) fn untold(&self, room: &RoomName) -> String {
        self.name("untold", room.as_str())
    }

    /// What a backend is still to be told of a room.
    pub(super) fn events(&self, room: &RoomName, endpoint: &str) -> String {
        format!("{}:{endpoint}", self.name("events", room.as_str()))
    }

    /// In which rooms events may come to wait. Beside the lives: where it is lost,
    /// so are they, and all nodes tell anew what they know.
    pub(super) fn expected(&self) -> String {
        self.name("expected", "nodes")
    }

    /// In which rooms events came to wait just now.
    pub(super) fn ready(&self) -> String {
        self.name("ready", "nodes")
    }

    /// Who delivers events.
    pub(super) fn deliverer(&self) -> String {
        self.name("deliverer", "nodes")
    }

    /// How many events wait for each backend.
    pub(super) fn waiting(&self) -> String {
        self.name("waiting", "nodes")
    }

    /// How many connections each life has of a user, whose inbox this is.
    pub(super) fn links(&self, inbox: &RoomName) -> String {
        self.name("links", inbox.as_str())
    }

    /// Where all that happens in a room is handed on.
    pub(super) fn channel(&self, room: &RoomName) -> String {
        self.name("room", room.as_str())
    }

    /// Attempts to connect, counted by address or by user.
    pub(super) fn attempts(&self, kind: &str, who: &str) -> String {
        self.name(&format!("attempts-by-{kind}"), who)
    }

    /// In which rooms a life has entries.
    pub(super) fn rooms_of(&self, life: &LifeId) -> String {
        self.name("rooms-of", life.as_str())
    }

    /// The lives that beat, and how often they did.
    pub(super) fn lives(&self) -> String {
        self.name("lives", "nodes")
    }

    /// The lives that are over and have still entries.
    pub(super) fn dying(&self) -> String {
        self.name("dying", "nodes")
    }

    /// What a life says of itself.
    pub(super) fn report(&self, life: &LifeId) -> String {
        format!("{}:{life}", self.name("report", "nodes"))
    }

    /// What holds for all nodes, in its order.
    pub(super) fn orders(&self) -> String {
        self.name("orders", "nodes")
    }

    /// The orders that have to be remembered, by the time until which.
    pub(super) fn revoked(&self) -> String {
        self.name("revoked", "nodes")
    }

    /// Where the nodes are told that there is an order.
    pub(super) fn nodes(&self) -> String {
        self.name("tell", "nodes")
    }

    /// A channel on which a life hears itself; `number` moves it from one server
    /// of a cluster to another.
    pub(super) fn probe(&self, life: &LifeId, number: usize) -> String {
        self.name("probe", &format!("{life}.{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_that_somebody_chose_is_a_part_of_another() {
        let names = Names::new("p");
        let user = |text: &str| UserId::parse(text).unwrap();
        let inbox = |text: &str| RoomName::inbox(&user(text));
        assert_eq!(names.who(&inbox("a}:{b")), "p:who:{@a%7D:%7Bb}");
        assert_ne!(names.who(&inbox("a}")), names.who(&inbox("a%7D")));
        let room = RoomName::parse("r").unwrap();
        let nonce = |user: Option<UserId>, nonce| names.nonce(&room, user.as_ref(), nonce);
        assert_ne!(nonce(Some(user("a:b")), "c"), nonce(Some(user("a")), "b:c"));
        assert_ne!(nonce(None, "1:a:c"), nonce(Some(user("a")), "c"));
        assert_ne!(names.channel(&RoomName::parse("nodes").unwrap()), names.nodes());
    }

    #[test]
    fn a_room_is_found_by_the_name_of_its_key() {
        let names = Names::new("a*b");
        assert_eq!(names.rooms("dash:*"), "a\\*b:meta:{dash:*}");
        let room = RoomName::parse("dash:eu").unwrap();
        let meta = names.log(&room).remove(0);
        assert_eq!(names.room_of(&meta), Some("dash:eu"));
        assert_eq!(names.room_of(&names.who(&room)), None);
        assert_eq!(Names::new("a").room_of(&meta), None);
    }
}
