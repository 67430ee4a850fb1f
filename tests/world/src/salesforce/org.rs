//! Orgs, their people, and what those may do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{
    app::{AppRegistration, Policy, Standing},
    host::Host,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrgKind {
    Production,
    Sandbox,
    /// Developer Edition: where a vendor makes its apps. Logs in where production does.
    Developer,
}

/// One Salesforce org.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its My Domain label: `acme`, or `acme--uat` for a sandbox.
    pub name: String,
    /// The company's name, as Salesforce's pages show it.
    pub title: String,
    /// 18 characters, `00D…`.
    pub id: String,
    pub kind: OrgKind,
    pub users: Vec<User>,
    pub profiles: Vec<PermissionSet>,
    pub permission_sets: Vec<PermissionSet>,
    /// "For admin-approved users, limit API access to only allowlisted connected apps".
    pub api_access_control: bool,
    /// The org-wide setting that every web server flow must bring a code challenge.
    pub require_pkce: bool,
    /// The org-wide session setting that rotates every app's refresh tokens.
    pub rotate_refresh_tokens: bool,
    /// How long an access token, or a browser's login, lasts.
    pub session_timeout: SignedDuration,
    /// The records of each object (`Account`, `Contact`), every one with an `Id`.
    pub records: BTreeMap<String, Vec<Map<String, Value>>>,
    /// How this org sees each app, by consumer key. An app that is not here was never seen.
    pub apps: BTreeMap<String, Standing>,
}

#[derive(Debug, Clone)]
pub struct User {
    /// 18 characters, `005…`.
    pub id: String,
    pub username: String,
    pub name: String,
    pub email: String,
    /// The name of one of the org's profiles.
    pub profile: String,
    /// The names of the permission sets assigned to this user.
    pub permission_sets: BTreeSet<String>,
    pub active: bool,
}

/// A named set of system permissions: a profile, or a permission set.
#[derive(Debug, Clone)]
pub struct PermissionSet {
    pub name: String,
    pub permissions: BTreeSet<Permission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    ApiEnabled,
    ApproveUninstalledConnectedApps,
    CustomizeApplication,
    DownloadPackages,
    ManageConnectedApps,
    ModifyAllData,
    UseAnyApiClient,
}

impl Permission {
    pub const ALL: [Self; 7] = [
        Self::ApiEnabled,
        Self::ApproveUninstalledConnectedApps,
        Self::CustomizeApplication,
        Self::DownloadPackages,
        Self::ManageConnectedApps,
        Self::ModifyAllData,
        Self::UseAnyApiClient,
    ];

    /// As Setup calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::ApiEnabled => "API Enabled",
            Self::ApproveUninstalledConnectedApps => "Approve Uninstalled Connected Apps",
            Self::CustomizeApplication => "Customize Application",
            Self::DownloadPackages => "Download AppExchange Packages",
            Self::ManageConnectedApps => "Manage Connected Apps",
            Self::ModifyAllData => "Modify All Data",
            Self::UseAnyApiClient => "Use Any API Client",
        }
    }
}

impl Org {
    pub fn is_sandbox(&self) -> bool {
        self.kind == OrgKind::Sandbox
    }

    /// The host of its My Domain on `site`.
    pub fn host(&self, site: &str) -> String {
        match self.kind {
            OrgKind::Production => format!("{}.my.{site}", self.name),
            OrgKind::Sandbox => format!("{}.sandbox.my.{site}", self.name),
            OrgKind::Developer => format!("{}.develop.my.{site}", self.name),
        }
    }

    /// Where this org's users log in when no My Domain is named; identity URLs stand there too.
    pub fn login_host(&self) -> Host {
        if self.is_sandbox() { Host::Test } else { Host::Login }
    }

    /// The user of this id or username.
    pub fn user(&self, id_or_username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id_or_username || user.username == id_or_username)
    }

    pub fn user_mut(&mut self, id_or_username: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.id == id_or_username || user.username == id_or_username)
    }

    /// Whether the user's profile or one of their permission sets has the permission.
    pub fn may(&self, user: &User, permission: Permission) -> bool {
        let profile = self.profiles.iter().find(|profile| profile.name == user.profile);
        let sets = self.permission_sets.iter().filter(|set| user.permission_sets.contains(&set.name));
        profile.into_iter().chain(sets).any(|held| held.permissions.contains(&permission))
    }

    /// Whether the user may install apps: Customize Application and (Modify All Data or Manage Connected Apps).
    pub fn may_administer(&self, user: &User) -> bool {
        self.may(user, Permission::CustomizeApplication)
            && (self.may(user, Permission::ModifyAllData) || self.may(user, Permission::ManageConnectedApps))
    }

    /// How this org sees the app. An app is always installed where it was created.
    pub fn standing(&self, app: &AppRegistration) -> Standing {
        match self.apps.get(&app.consumer_key) {
            Some(standing) => standing.clone(),
            None if app.created_in == self.name => Standing::Installed(Policy::default()),
            None => Standing::Unseen,
        }
    }

    /// Whether the policy pre-authorizes the user, through profile or permission set.
    pub fn assigns(&self, policy: &Policy, user: &User) -> bool {
        policy.profiles.contains(&user.profile)
            || user.permission_sets.iter().any(|set| policy.permission_sets.contains(set))
    }
}
