use std::time::Duration;

use super::{Address, Refusal, request};
use crate::{
    auth::{Minter, NewToken},
    model::{UserId, wall_clock},
};

/// How long a token signed here holds.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Where clients have their tokens from.
pub enum Credentials {
    /// Signed here, with the server's secret.
    Signed(Box<Minter>),
    /// `POST /auth/guest`.
    Guests,
}

/// Who a client is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) token: String,
}

impl Credentials {
    /// How many attempts at the server a first connection takes.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Self::Signed(_) => 1,
            Self::Guests => 2,
        }
    }

    /// A token for a user of this id and name; a guest's id is the server's
    /// affair.
    pub(super) async fn identity(
        &self,
        address: &Address,
        user: &str,
        name: &str,
    ) -> Result<Identity, Refusal> {
        match self {
            Self::Signed(minter) => {
                let strange = |error: String| Refusal::Strange(address.clone(), error);
                let sub = UserId::parse(user).map_err(|error| strange(error.to_string()))?;
                let token = NewToken { name: Some(name), ..NewToken::new(&sub, TOKEN_TTL) };
                let token = minter.mint(&token, wall_clock());
                let token = token.map_err(|error| strange(error.to_string()))?;
                Ok(Identity { user: user.to_owned(), token })
            }
            Self::Guests => {
                let request::Guest { token, user } = request::guest(address, name).await?;
                Ok(Identity { user, token })
            }
        }
    }
}
