use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    auth::Identity,
    model::{Body, Code, Grants, META_BYTES, Payload, Problem, Profile, RoomName},
};

/// The longest message for people that is passed on.
const MESSAGE: usize = 512;

/// When a client should try again what is denied for now, or could not be asked.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a backend says. Fields that do not belong to the question are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    allow: bool,
    #[serde(default)]
    code: DenialCode,
    message: Option<String>,
    // In the place of what the token says.
    name: Option<Arc<str>>,
    meta: Option<Arc<RawValue>>,
    grants: Option<Grants>,
    /// To be joined, as if the client had asked for it.
    #[serde(default)]
    rooms: Vec<String>,
    // In the place of what was to be written.
    content: Option<Arc<str>>,
    event: Option<Arc<str>>,
    data: Option<Arc<RawValue>>,
    value: Option<Arc<RawValue>>,
}

/// The codes that a denial may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DenialCode {
    #[default]
    Forbidden,
    NotFound,
    TooLarge,
    RoomFull,
    RateLimited,
    Unavailable,
}

impl From<DenialCode> for Code {
    fn from(code: DenialCode) -> Self {
        match code {
            DenialCode::Forbidden => Self::Forbidden,
            DenialCode::NotFound => Self::NotFound,
            DenialCode::TooLarge => Self::TooLarge,
            DenialCode::RoomFull => Self::RoomFull,
            DenialCode::RateLimited => Self::RateLimited,
            DenialCode::Unavailable => Self::Unavailable,
        }
    }
}

impl Answer {
    /// Reads an answer; what it puts in a message's place has at most
    /// `message_bytes`.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub(super) fn parse(text: &[u8], message_bytes: usize) -> Result<Self, String> {
        let mut from = serde_json::Deserializer::from_slice(text);
        let answer: Self = serde_path_to_error::deserialize(&mut from)
            .map_err(|error| format!("not an answer: `{}`: {}", error.path(), error.inner()))?;
        let raw = |value: &Option<Arc<RawValue>>| value.as_ref().map_or(0, |it| it.get().len());
        let text = |value: &Option<Arc<str>>| value.as_ref().map_or(0, |it| it.len());
        if raw(&answer.meta) > META_BYTES {
            return Err(format!("not an answer: `meta`: more than {META_BYTES} bytes"));
        }
        let Self { content, event, data, value, .. } = &answer;
        if text(content) + text(event) + raw(data) + raw(value) > message_bytes {
            return Err(format!("not an answer: a message of more than {message_bytes} bytes"));
        }
        for room in &answer.rooms {
            RoomName::parse(room).map_err(|error| format!("not an answer: `rooms`: {error}"))?;
        }
        Ok(answer)
    }

    /// Why not, where it denies.
    pub(super) fn denied(&self) -> Option<Problem> {
        if self.allow {
            return None;
        }
        let message = match &self.message {
            Some(message) => message.chars().take(MESSAGE).collect(),
            None => "the backend does not allow it".to_owned(),
        };
        let problem = Problem::new(self.code.into(), message);
        Some(match self.code {
            DenialCode::RateLimited | DenialCode::Unavailable => problem.retry_after(RETRY_AFTER),
            _ => problem,
        })
    }

    /// Who connects, and in which rooms it begins.
    pub(super) fn identity(self, identity: Identity) -> Result<(Identity, Vec<RoomName>), Problem> {
        let Identity { profile, grants, .. } = &identity;
        let profile = Profile {
            user: profile.user.clone(),
            name: self.name.or_else(|| profile.name.clone()),
            meta: self.meta.or_else(|| profile.meta.clone()),
        };
        let grants = self.grants.map_or_else(|| grants.clone(), Arc::new);
        let rooms = self.rooms.iter().filter_map(|room| RoomName::parse(room).ok()).collect();
        Ok((Identity { profile: Arc::new(profile), grants, ..identity }, rooms))
    }

    /// What is written.
    pub(super) fn body(self, body: Body) -> Body {
        match body {
            Body::Set { key, value } => Body::Set { key, value: self.value.or(value) },
            Body::Message(payload) => Body::Message(self.payload(payload)),
            Body::Direct { to, payload } => Body::Direct { to, payload: self.payload(payload) },
        }
    }

    fn payload(self, payload: Payload) -> Payload {
        match payload {
            Payload::Text(text) => Payload::Text(self.content.unwrap_or(text)),
            Payload::Event { event, data } => Payload::Event {
                event: self.event.unwrap_or(event),
                data: self.data.unwrap_or(data),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Answer, String> {
        Answer::parse(text.as_bytes(), 100)
    }

    #[test]
    fn a_denial_has_a_code_and_a_message() {
        let problem = parse(r#"{"allow": false}"#).unwrap().denied().unwrap();
        assert_eq!(problem.code, Code::Forbidden);
        let text = r#"{"allow": false, "code": "room_full", "message": "at eight"}"#;
        let problem = parse(text).unwrap().denied().unwrap();
        assert_eq!((problem.code, problem.message.as_str()), (Code::RoomFull, "at eight"));
        assert!(parse(r#"{"allow": true, "message": "x"}"#).unwrap().denied().is_none());
    }

    #[test]
    fn what_is_no_answer_says_what_is_wrong() {
        for (text, wrong) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            ("{}", "allow"),
            (r#"{"allow": "yes"}"#, "`allow`"),
            (r#"{"allow": false, "code": "internal"}"#, "`code`"),
            (r#"{"allow": true, "grants": {"*": ["fly"]}}"#, "`grants"),
            (r#"{"allow": true, "rooms": ["@bob"]}"#, "`rooms`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
        let long = "x".repeat(101);
        assert!(parse(&format!(r#"{{"allow": true, "content": "{long}"}}"#)).is_err());
        let meta = "x".repeat(META_BYTES);
        assert!(parse(&format!(r#"{{"allow": true, "meta": "{meta}"}}"#)).is_err());
    }

    #[test]
    fn what_is_written_is_replaced_in_its_kind() {
        let body = || Body::Message(Payload::Text("bad".into()));
        let answer = parse(r#"{"allow": true, "content": "good", "data": 1}"#).unwrap();
        let Body::Message(Payload::Text(text)) = answer.body(body()) else { panic!() };
        assert_eq!(&*text, "good");
        let kept = parse(r#"{"allow": true, "data": 1}"#).unwrap().body(body());
        let Body::Message(Payload::Text(text)) = kept else { panic!() };
        assert_eq!(&*text, "bad");
    }
}
