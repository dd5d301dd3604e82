use crate::model::RoomName;

/// What stands between the parts of a cursor; no room's name has it.
const BETWEEN: char = '~';

/// Where a search for rooms goes on. To those who pass it on it is a text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Which of several parts of the store is next.
    pub(super) part: usize,
    /// Where to go on in that part, if it has places.
    pub(super) place: u64,
    /// Rooms that stand at the border of the page before.
    pub(super) rooms: Vec<RoomName>,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(BETWEEN);
        let (part, place) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let rooms = parts.map(|name| RoomName::parse(name).ok()).collect::<Option<_>>()?;
        Some(Self { part, place, rooms })
    }

    pub(super) fn written(&self) -> String {
        let mut text = format!("{}{BETWEEN}{}", self.part, self.place);
        for room in &self.rooms {
            text.push(BETWEEN);
            text.push_str(room.as_str());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let rooms = ["lobby", "a/b:c"].map(|name| RoomName::parse(name).unwrap()).to_vec();
        for cursor in [Cursor::default(), Cursor { part: 2, place: u64::MAX, rooms }] {
            assert_eq!(Cursor::parse(&cursor.written()), Some(cursor));
        }
        for bad in ["", "1", "1~", "x~1", "1~1~", "1~1~@bob", "1~1~a b", "-1~0"] {
            assert_eq!(Cursor::parse(bad), None, "{bad:?}");
        }
    }
}
