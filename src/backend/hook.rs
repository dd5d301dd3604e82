//! Which endpoint wants to be told of what.

use std::sync::Arc;

use super::{event::What, figures::HookFigures};
use crate::{
    config::{self, HookEvent},
    model::{Pattern, RoomName},
};

/// One endpoint.
pub struct Hook {
    /// Its settings.
    pub endpoint: config::Endpoint,
    /// How it gets on.
    pub figures: Arc<HookFigures>,
}

/// All endpoints.
pub struct Hooks {
    hooks: Vec<Hook>,
    /// What holds for each of them.
    pub settings: config::Webhooks,
}

/// What an endpoint wants to be told of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// That its first user came; in an inbox, that its user is online.
    pub occupied: bool,
    /// That its last user left; in an inbox, that its user is offline.
    pub vacated: bool,
    /// Who came.
    pub joined: bool,
    /// Who left.
    pub left: bool,
    /// What was written.
    pub messages: bool,
}

impl Wants {
    /// Whether it wants to be told of anything that follows from who comes and
    /// goes.
    pub fn presence(self) -> bool {
        self.occupied || self.vacated || self.joined || self.left
    }

    /// Whether it wants to be told of this.
    pub fn has(self, what: &What) -> bool {
        match what {
            What::Occupied => self.occupied,
            What::Vacated => self.vacated,
            What::Joined(_) => self.joined,
            What::Left(_) => self.left,
            What::Message(_) => self.messages,
            What::Resync(_) => self.presence() || self.messages,
            What::Reset => true,
        }
    }
}

impl Hook {
    /// What it wants to be told of a room.
    pub fn wants(&self, room: &RoomName) -> Wants {
        let has = |event| self.endpoint.events.contains(&event);
        let matches = |patterns: &[Pattern]| patterns.iter().any(|it| it.matches(room.as_str()));
        let messages = matches(&self.endpoint.messages);
        if room.is_inbox() {
            return Wants {
                occupied: has(HookEvent::UserOnline),
                vacated: has(HookEvent::UserOffline),
                messages,
                ..Wants::default()
            };
        }
        if !matches(&self.endpoint.rooms) {
            return Wants { messages, ..Wants::default() };
        }
        Wants {
            occupied: has(HookEvent::RoomOccupied),
            vacated: has(HookEvent::RoomVacated),
            joined: has(HookEvent::MemberJoined),
            left: has(HookEvent::MemberLeft),
            messages,
        }
    }
}

impl Hooks {
    /// The endpoints that are set; none where there are none.
    pub fn new(settings: &config::Webhooks) -> Option<Self> {
        let hook = |endpoint: config::Endpoint| Hook { endpoint, figures: Arc::default() };
        let hooks: Vec<Hook> = settings.endpoints().into_iter().map(hook).collect();
        (!hooks.is_empty()).then(|| Self { hooks, settings: settings.clone() })
    }

    /// All of them; their numbers are their places here.
    pub fn all(&self) -> &[Hook] {
        &self.hooks
    }

    /// One of them.
    pub fn get(&self, hook: usize) -> Option<&Hook> {
        self.hooks.get(hook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn rooms_users_and_messages_are_chosen_by_themselves() {
        let settings = Settings::from_toml(
            r#"
            [webhooks]
            url = "https://example.com/"
            keys = ["12345678"]
            events = ["room_vacated", "member_joined", "user_online"]
            rooms = ["chat:*", "lobby"]
            messages = ["dash:*", "chat:eu", "@b*"]
            "#,
        );
        let hooks = Hooks::new(&settings.unwrap().webhooks).unwrap();
        let wants = |room: &str| {
            let Wants { occupied, vacated, joined, left, messages } =
                hooks.all()[0].wants(&RoomName::named(room));
            [occupied, vacated, joined, left, messages].map(u8::from)
        };
        assert_eq!(wants("lobby"), [0, 1, 1, 0, 0]);
        assert_eq!(wants("chat:eu"), [0, 1, 1, 0, 1]);
        assert_eq!(wants("dash:eu"), [0, 0, 0, 0, 1]);
        assert_eq!(wants("other"), [0, 0, 0, 0, 0]);
        assert_eq!(wants("@ada"), [1, 0, 0, 0, 0]);
        assert_eq!(wants("@bob"), [1, 0, 0, 0, 1]);
    }
}
