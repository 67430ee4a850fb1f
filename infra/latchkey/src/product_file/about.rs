//! What a product file says of an app for people: its purpose, its owner, where to connect.

use domain::product::{AppAbout, AppOwner, AppPolicy};
use serde::Deserialize;
use toml::Spanned;

use super::{Check, sense};

/// Maximum bytes of a sentence about an app.
const MAX_SENTENCE: usize = 200;

/// Maximum bytes of the way to a page of the product.
const MAX_MENU_PATH: usize = 120;

/// Maximum sentences on how to check in the product that an app works.
const MAX_CHECKS: usize = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AboutTable {
    purpose: Option<Spanned<String>>,
    #[serde(default)]
    owner: AppOwner,
    name_reason: Option<Spanned<String>>,
    connect_at: Option<Spanned<String>>,
    keys_at: Option<Spanned<String>>,
    #[serde(default)]
    check: Vec<Spanned<String>>,
    policy: Option<AppPolicy>,
}

impl Check<'_> {
    pub(super) fn about(&mut self, field: &str, about: AboutTable) -> AppAbout {
        let texts = [
            ("purpose", about.purpose.as_ref(), MAX_SENTENCE),
            ("name_reason", about.name_reason.as_ref(), MAX_SENTENCE),
            ("connect_at", about.connect_at.as_ref(), MAX_MENU_PATH),
            ("keys_at", about.keys_at.as_ref(), MAX_MENU_PATH),
        ];
        for (name, text, most) in texts {
            if let Some(text) = text {
                self.text_of(&format!("{field}.{name}"), text, most, sense::name);
            }
        }
        for check in &about.check {
            self.text_of(&format!("{field}.check"), check, MAX_SENTENCE, sense::name);
        }
        if let Some(extra) = about.check.get(MAX_CHECKS) {
            self.wrong(format!("{field}.check"), extra, format!("at most {MAX_CHECKS} are shown"));
        }
        AppAbout {
            purpose: about.purpose.map(Spanned::into_inner),
            owner: about.owner,
            name_reason: about.name_reason.map(Spanned::into_inner),
            connect_at: about.connect_at.map(Spanned::into_inner),
            keys_at: about.keys_at.map(Spanned::into_inner),
            check: about.check.into_iter().map(Spanned::into_inner).collect(),
            policy: about.policy,
        }
    }
}
