//! Connected apps and external client apps, and how an org sees one.

use std::collections::BTreeSet;

use jiff::SignedDuration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    ConnectedApp,
    ExternalClientApp,
}

/// An external client app's distribution state; it means nothing for a connected app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// For the org that it was created in, and no other.
    Local,
    /// For every org that installs its package.
    Packaged,
}

/// What a vendor registered.
#[derive(Debug, Clone)]
pub struct AppRegistration {
    pub label: String,
    /// The company that made it, as the install page names it.
    pub vendor: String,
    pub kind: AppKind,
    pub consumer_key: String,
    pub consumer_secret: String,
    /// Matched exactly.
    pub callback_urls: Vec<String>,
    /// As the authorize request spells them: `api`, `refresh_token`, `openid`, `id`, `full`, …
    pub scopes: Vec<String>,
    pub require_pkce: bool,
    /// Whether the token endpoint insists on the consumer secret. One that is sent is always checked.
    pub require_secret: bool,
    pub refresh_token_rotation: bool,
    /// A refresh token that was not used for so long is dead.
    pub idle_expiry: Option<SignedDuration>,
    pub distribution: Distribution,
    /// `04t…`, when a package carries the app.
    pub package_id: Option<String>,
    /// The name of the org that it was created in: `vendor`, or a customer's own.
    pub created_in: String,
}

impl AppRegistration {
    /// A vendor's connected app as partners must have it: PKCE, rotation, 30 days' idle expiry.
    pub fn connected_app(label: &str, consumer_key: &str, consumer_secret: &str, callback_url: &str) -> Self {
        Self {
            label: label.to_owned(),
            vendor: label.to_owned(),
            kind: AppKind::ConnectedApp,
            consumer_key: consumer_key.to_owned(),
            consumer_secret: consumer_secret.to_owned(),
            callback_urls: vec![callback_url.to_owned()],
            scopes: ["api", "refresh_token", "openid", "id"].map(str::to_owned).to_vec(),
            require_pkce: true,
            require_secret: true,
            refresh_token_rotation: true,
            idle_expiry: Some(SignedDuration::from_hours(30 * 24)),
            distribution: Distribution::Packaged,
            package_id: None,
            created_in: "vendor".to_owned(),
        }
    }

    /// A vendor's packaged external client app, under the same partner rules.
    pub fn external_client_app(
        label: &str,
        consumer_key: &str,
        consumer_secret: &str,
        callback_url: &str,
        package_id: &str,
    ) -> Self {
        Self {
            kind: AppKind::ExternalClientApp,
            package_id: Some(package_id.to_owned()),
            ..Self::connected_app(label, consumer_key, consumer_secret, callback_url)
        }
    }

    pub fn is_external_client_app(&self) -> bool {
        self.kind == AppKind::ExternalClientApp
    }

    /// Whether a request may ask for the scope. `full` holds every scope but the refresh token's.
    pub fn allows_scope(&self, scope: &str) -> bool {
        let scope = canonical_scope(scope);
        self.scopes
            .iter()
            .map(|held| canonical_scope(held))
            .any(|held| held == scope || (held == "full" && scope != "refresh_token"))
    }
}

/// One name for the scopes that are synonyms, or one entry in Setup.
fn canonical_scope(scope: &str) -> &str {
    match scope {
        "offline_access" => "refresh_token",
        "profile" | "email" | "address" | "phone" => "id",
        other => other,
    }
}

/// How one org sees one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Unseen,
    /// Somebody tried it, so it is listed, as "Allowed". That is not installed.
    Seen,
    Installed(Policy),
    /// Keeps the policy that it comes back to when it is unblocked.
    Blocked(Option<Policy>),
}

impl Standing {
    pub fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Installed(policy) | Self::Blocked(Some(policy)) => Some(policy),
            Self::Unseen | Self::Seen | Self::Blocked(None) => None,
        }
    }

    pub fn is_installed(&self) -> bool {
        self.policy().is_some()
    }

    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked(_))
    }
}

/// An installed app's OAuth policies in one org.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub permitted_users: PermittedUsers,
    /// The profiles, by name, whose users are pre-authorized.
    pub profiles: BTreeSet<String>,
    /// The permission sets, by name, whose users are pre-authorized.
    pub permission_sets: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PermittedUsers {
    #[default]
    AllSelfAuthorize,
    AdminApprovedPreAuthorized,
}
