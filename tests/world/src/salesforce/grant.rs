//! What lives between a click on Allow and a token's end.

use jiff::{SignedDuration, Timestamp};

use super::host::Host;

/// How long a code can be exchanged.
pub const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// How long a person may take over the login and consent pages.
pub const APPROVAL_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// The grants that one user may have for one app.
pub const GRANTS_PER_USER_AND_APP: usize = 5;

/// A browser's login, by the value of its `sid` cookie.
#[derive(Debug, Clone)]
pub struct LoginSession {
    pub org: String,
    pub user: String,
    pub since: Timestamp,
}

/// What an app asked of the authorize endpoint.
#[derive(Debug, Clone)]
pub struct AuthorizeRequest {
    pub host: Host,
    pub consumer_key: String,
    pub redirect_uri: String,
    /// As asked for; all of the app's scopes when none was named.
    pub scopes: Vec<String>,
    pub state: Option<String>,
    pub code_challenge: Option<String>,
    pub nonce: Option<String>,
    pub prompt_login: bool,
    pub prompt_consent: bool,
    pub immediate: bool,
    pub login_hint: Option<String>,
}

/// A request whose user is still at the login or consent page.
#[derive(Debug, Clone)]
pub struct PendingApproval {
    pub request: AuthorizeRequest,
    pub since: Timestamp,
    /// Whether the user has logged in for this very request, as `prompt=login` demands.
    pub logged_in: bool,
}

/// An authorization code, kept after use so that a second use is known for what it is.
#[derive(Debug, Clone)]
pub struct Code {
    pub request: AuthorizeRequest,
    pub grant: u64,
    pub issued_at: Timestamp,
    pub used: bool,
}

/// One user's approval of one app. It stays on record after its end.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: u64,
    /// The org's name.
    pub org: String,
    /// The user's id.
    pub user: String,
    pub consumer_key: String,
    pub scopes: Vec<String>,
    pub approved_at: Timestamp,
    /// When its refresh token was issued or last used.
    pub used_at: Timestamp,
    /// The one refresh token that works; none before the code is exchanged, or without the scope.
    pub refresh_token: Option<String>,
    /// The refresh tokens that rotation replaced. One of these coming back ends the grant.
    pub spent: Vec<String>,
    pub ended: Option<Ending>,
}

impl Grant {
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Whether it brings a refresh token.
    pub fn is_offline(&self) -> bool {
        self.has_scope("refresh_token") || self.has_scope("offline_access")
    }
}

/// Why a grant is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By the app at the revoke endpoint, by the user, or by an admin.
    Revoked,
    /// A newer approval of the same user and app took its place.
    Evicted,
    /// A refresh token that rotation had replaced was used again.
    Replayed,
    /// The app was uninstalled from the org.
    Uninstalled,
    /// The refresh token was not used for too long.
    Idle,
    /// The sandbox that it was of was refreshed.
    Replaced,
}

/// An opaque access token: a session of the org.
#[derive(Debug, Clone)]
pub struct AccessToken {
    pub grant: u64,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}
