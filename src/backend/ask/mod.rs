//! Asking a backend before something is done.

mod answer;
mod question;
mod turns;

use std::{future::Future, net::IpAddr};

use log::warn;
use reqwest::Response;
use tokio::time::timeout;

pub use self::question::Who;

use self::{
    answer::{Answer, RETRY_AFTER},
    question::{Kind, Question},
    turns::Turns,
};
use super::{event::Said, figures::Figures, post::Caller};
use crate::{
    auth::Identity,
    config::{self, Otherwise},
    model::{Body, CallId, Code, Pattern, Problem, RoomName},
};

/// How much longer an answer may be than a client's message.
const ENVELOPE: usize = 4096;

/// Asks a backend, and waits for its answer.
pub struct Asker {
    caller: Caller,
    settings: config::Ask,
    /// How long an answer may be, and what it puts in a message's place.
    answer_bytes: usize,
    message_bytes: usize,
    turns: Turns,
    figures: Figures,
}

impl Asker {
    /// Asks as the settings say; none where nothing is to be asked. What an
    /// answer puts in the place of a message has at most `message_bytes`.
    ///
    /// # Errors
    /// What the system lacks for TLS, in words for people.
    pub fn new(settings: &config::Ask, message_bytes: usize) -> Result<Option<Self>, String> {
        let Some(url) = &settings.url else { return Ok(None) };
        Ok(Some(Self {
            caller: Caller::new(url, &settings.keys, settings.timeout)?,
            settings: settings.clone(),
            answer_bytes: message_bytes.saturating_add(ENVELOPE),
            message_bytes,
            turns: Turns::new(settings.at_once),
            figures: Figures::default(),
        }))
    }

    /// What became of questions.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Whether a user may connect, or go on with a new token; and as whom, and
    /// in which rooms it begins.
    ///
    /// # Errors
    /// Why not, for the client.
    pub async fn connect(
        &self,
        identity: Identity,
        address: Option<IpAddr>,
        call: &CallId,
    ) -> Result<(Identity, Vec<RoomName>), Problem> {
        if !self.settings.connect {
            return Ok((identity, Vec::new()));
        }
        let kind = Kind::Connect {
            name: identity.profile.name.as_deref(),
            meta: identity.profile.meta.as_deref(),
            grants: &identity.grants,
            guest: identity.guest,
            expires_at: identity.expires_at,
            address,
            refresh: address.is_none(),
        };
        let user = &identity.profile.user;
        match self.ask(Question::new(Who { user: Some(user), session: None, call }, kind)).await? {
            Some(answer) => answer.identity(identity),
            None => Ok((identity, Vec::new())),
        }
    }

    /// Whether somebody may join a room.
    ///
    /// # Errors
    /// Why not, for the client.
    pub async fn join(&self, who: Who<'_>, room: &RoomName) -> Result<(), Problem> {
        if chosen(&self.settings.join, room) {
            let asked = self.ask(Question::new(who, Kind::Join { room })).await;
            asked.map_err(|problem| problem.in_room(room))?;
        }
        Ok(())
    }

    /// Whether somebody may write something, and what is written in its place.
    ///
    /// # Errors
    /// Why not, for the client.
    pub async fn publish(
        &self,
        who: Who<'_>,
        room: &RoomName,
        body: Body,
    ) -> Result<Body, Problem> {
        if !chosen(&self.settings.publish, room) {
            return Ok(body);
        }
        let kind = Kind::Publish { room, said: Said::from(&body) };
        let asked = self.ask(Question::new(who, kind)).await;
        Ok(match asked.map_err(|problem| problem.in_room(room))? {
            Some(answer) => answer.body(body),
            None => body,
        })
    }

    /// The backend's answer where it allows; none where it does not answer and
    /// that is as good.
    async fn ask(&self, question: Question<'_>) -> Result<Option<Answer>, Problem> {
        let (kind, call) = (question.name(), question.call());
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let answer = self.within_time(async {
            let turn = self.turns.take(question.user(), question.room()).await;
            let response =
                self.caller.post(body, Some(call)).await.map_err(|error| error.to_string())?;
            let answer = self.read(response).await;
            drop(turn);
            answer
        });
        match answer.await {
            Ok(answer) => match answer.denied() {
                None => {
                    self.figures.asked(kind, "allow");
                    Ok(Some(answer))
                }
                Some(problem) => {
                    self.figures.asked(kind, "deny");
                    Err(problem)
                }
            },
            Err(why) => {
                self.figures.asked(kind, "none");
                warn!("request {call}: {} gave no answer to a {kind}: {why}", self.caller.host());
                match self.settings.otherwise {
                    Otherwise::Allow => Ok(None),
                    Otherwise::Deny => {
                        let message = "the backend that decides this cannot be asked now";
                        Err(Problem::new(Code::Unavailable, message).retry_after(RETRY_AFTER))
                    }
                }
            }
        }
    }

    async fn within_time<T>(
        &self,
        answer: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        timeout(self.settings.timeout, answer)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn read(&self, mut response: Response) -> Result<Answer, String> {
        if !response.status().is_success() {
            return Err(response.status().to_string());
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|it| it.without_url().to_string())? {
            if text.len() + chunk.len() > self.answer_bytes {
                return Err(format!("an answer of more than {} bytes", self.answer_bytes));
            }
            text.extend_from_slice(&chunk);
        }
        Answer::parse(&text, self.message_bytes)
    }
}

fn chosen(patterns: &[Pattern], room: &RoomName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(room.as_str()))
}
