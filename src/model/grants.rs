use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Pattern, RoomName};

/// What a token may allow in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To become a member.
    Join,
    /// To write messages, events, signals and typing.
    Publish,
    /// To write shared state.
    Set,
    /// To see who is there.
    Presence,
    /// To read the log.
    History,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Join => "join",
            Self::Publish => "publish",
            Self::Set => "set",
            Self::Presence => "presence",
            Self::History => "history",
        })
    }
}

/// What a token allows, by the form of a room's name. The lists of all
/// patterns that match a room add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<(Pattern, Vec<Action>)>);

impl Grants {
    /// Whether `action` is allowed in `room`. Nothing is in anybody's inbox:
    /// what is done there is done by the server alone.
    pub fn allows(&self, action: Action, room: &RoomName) -> bool {
        !room.is_inbox()
            && self.0.iter().any(|(pattern, actions)| {
                actions.contains(&action) && pattern.matches(room.as_str())
            })
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(pattern, actions)| (pattern, actions)))
    }
}

/// Strict, because what is misread here is allowed or denied in silence: a
/// pattern written twice, an unknown action or a null is an error.
impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Grants;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from room pattern to a list of actions, such as {\"dash:*\": [\"join\"]}")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Grants, A::Error> {
                let mut grants: Vec<(Pattern, Vec<Action>)> = Vec::new();
                while let Some((pattern, actions)) = map.next_entry()? {
                    if grants.iter().any(|(known, _)| *known == pattern) {
                        return Err(de::Error::custom("each room pattern once"));
                    }
                    grants.push((pattern, actions));
                }
                Ok(Grants(grants))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    const ALL: [Action; 5] =
        [Action::Join, Action::Publish, Action::Set, Action::Presence, Action::History];

    fn grants(json: &str) -> Result<Grants, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn matching_patterns_add_up_and_nothing_else_does() {
        let grants =
            grants(r#"{"dash:*": ["join", "history"], "*:eu": ["set"], "x": []}"#).unwrap();
        let allowed = |name: &str| -> Vec<Action> {
            ALL.into_iter().filter(|action| grants.allows(*action, &room(name))).collect()
        };
        assert_eq!(allowed("dash:us"), [Action::Join, Action::History]);
        assert_eq!(allowed("dash:eu"), [Action::Join, Action::Set, Action::History]);
        assert_eq!(allowed("chat:eu"), [Action::Set]);
        assert_eq!(allowed("lobby"), []);
        assert_eq!(allowed("x"), []);
    }

    #[test]
    fn no_pattern_reaches_an_inbox() {
        let grants = grants(r#"{"*": ["join", "history"], "@bob": ["join"]}"#).unwrap();
        let inbox = RoomName::inbox(&UserId::parse("bob").unwrap());
        assert!(ALL.into_iter().all(|action| !grants.allows(action, &inbox)));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "null",
            "[]",
            r#""*""#,
            r#"{"*": "join"}"#,
            r#"{"*": null}"#,
            r#"{"*": {"join": true}}"#,
            r#"{"*": ["Join"]}"#,
            r#"{"*": ["join", "admin"]}"#,
            r#"{"*": [1]}"#,
            r#"{"": ["join"]}"#,
            r#"{"a room": ["join"]}"#,
            r#"{"*": ["join"], "*": ["set"]}"#,
        ] {
            assert!(grants(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn grants_are_written_as_they_are_read() {
        let text = r#"{"dash:*":["join","set"],"*":["presence"]}"#;
        assert_eq!(serde_json::to_string(&grants(text).unwrap()).unwrap(), text);
    }
}
