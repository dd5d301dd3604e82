//! What clients that only listen have to say, on its way to their sessions.

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;

use super::Registry;
use crate::{
    cluster::{Posted, Unreachable},
    model::{SessionId, UserId},
    session::{Busy, Post},
};

impl Registry {
    /// Hands messages to a session of this node whose client only listens; none
    /// where there is no such session here.
    pub fn post_here(
        &self,
        session: &SessionId,
        messages: Vec<Box<str>>,
    ) -> Option<BoxFuture<'static, Posted>> {
        let (answer, answered) = oneshot::channel();
        let inner = self.lock();
        let holder = inner.sessions.get(session).filter(|holder| holder.ending.is_none())?;
        let posts = holder.posts.as_ref()?;
        // The one sender of the session, so that its mailbox knows a bound.
        let full = posts.try_send(Post { messages, answer }).is_err();
        drop(inner);
        Some(
            async move {
                match answered.await {
                    _ if full => Posted::Busy,
                    Ok(Ok(())) => Posted::Taken,
                    Ok(Err(Busy)) => Posted::Busy,
                    Err(_) => Posted::Unknown,
                }
            }
            .boxed(),
        )
    }

    /// The same for a session that is not on this node.
    ///
    /// # Errors
    /// [`Unreachable`]: the messages may or may not have been taken.
    pub async fn post_elsewhere(
        &self,
        user: &UserId,
        session: &SessionId,
        messages: &[Box<str>],
    ) -> Result<Posted, Unreachable> {
        match &self.cluster {
            Some(cluster) => cluster.post(user, session, messages).await,
            None => Ok(Posted::Unknown),
        }
    }
}
