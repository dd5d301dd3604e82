//! The actor, with a worker and a cluster that the tests play.

mod alone;
mod among_others;
mod cluster;

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::mpsc;

use self::cluster::FakeCluster;
use super::*;
use crate::{
    cluster::{Entry, Heard, Roll},
    config::Settings,
    model::{
        Availability, LifeId, LinkId, Naming, PresenceDiff, Profile, RoomName, Status, UserId,
        WorkerId,
    },
    presence::Request,
};

/// The queue of a worker.
struct Inbox(mpsc::UnboundedSender<News>);

impl Actor for Inbox {
    type Context = Context<Self>;
}

impl Handler<News> for Inbox {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Self::Context) {
        let _ = self.0.send(news);
    }
}

/// Presence with one worker.
struct Stage {
    presence: Addr<PresenceSupervisor>,
    worker: WorkerId,
    news: mpsc::UnboundedReceiver<News>,
    tickets: u64,
}

impl Stage {
    fn start(settings: &Settings, cluster: Option<Arc<FakeCluster>>) -> Self {
        let cluster = cluster.map(|it| it as Arc<dyn crate::cluster::Cluster>);
        let presence = PresenceSupervisor::new(settings, cluster).start();
        let (sender, news) = mpsc::unbounded_channel();
        let worker = WorkerId::next();
        presence.do_send(Register { worker, news: Inbox(sender).start().recipient() });
        Self { presence, worker, news, tickets: 0 }
    }

    fn say(&self, request: Request) {
        self.presence.do_send(Requests(vec![request]));
    }

    fn connect(&self, user: &str) -> LinkId {
        let (worker, link) = (self.worker, LinkId::next());
        let profile = Arc::new(Profile { user: id(user), name: None, meta: None });
        self.say(Request::Connect { link, worker, profile });
        link
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn track(&mut self, link: LinkId) -> Ticket {
        let (ticket, worker) = (self.ticket(), self.worker);
        self.say(Request::Track { ticket, worker, link, room: room() });
        ticket
    }

    fn who_is(&mut self) -> Ticket {
        let (ticket, worker) = (self.ticket(), self.worker);
        self.say(Request::WhoIs { ticket, worker, room: room() });
        ticket
    }

    fn watch(&mut self, users: &[&str]) -> Ticket {
        let (ticket, worker) = (self.ticket(), self.worker);
        let users = users.iter().map(|user| id(user)).collect();
        self.say(Request::Watch { ticket, worker, users });
        ticket
    }

    async fn next(&mut self) -> News {
        self.news.recv().await.unwrap()
    }

    /// Who is there by the answer to a question; what comes before it is read
    /// and let go.
    async fn answer(&mut self, question: Ticket) -> Vec<String> {
        loop {
            match self.next().await {
                News::Members { ticket, members, count } if ticket == question => {
                    assert_eq!(members.len(), count);
                    return members.iter().map(|it| it.user.to_string()).collect();
                }
                News::Watched { ticket, users } if ticket == question => {
                    return users.iter().map(|(user, how)| format!("{user}={how:?}")).collect();
                }
                News::RoomFull { ticket } if ticket == question => return vec!["full".into()],
                News::Unreachable { ticket } if ticket == question => {
                    return vec!["unreachable".into()];
                }
                _ => {}
            }
        }
    }

    /// The next change of the room.
    async fn change(&mut self) -> PresenceDiff {
        loop {
            if let News::Changed { changes, .. } = self.next().await {
                return changes.to_diff();
            }
        }
    }

    /// Waits until all that was sent so far is handled, and answers what came
    /// of it that is no answer.
    async fn quiet(&mut self) -> Vec<News> {
        // An inbox that nobody listens to is answered at once.
        let (ticket, worker) = (self.ticket(), self.worker);
        let room = RoomName::inbox(&id("nobody"));
        self.say(Request::WhoIs { ticket, worker, room });
        let mut came = Vec::new();
        loop {
            match self.next().await {
                News::Members { ticket: it, .. } if it == ticket => return came,
                news => came.push(news),
            }
        }
    }
}

fn room() -> RoomName {
    RoomName::parse("lobby").unwrap()
}

fn id(user: &str) -> UserId {
    UserId::parse(user).unwrap()
}
