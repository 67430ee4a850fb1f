//! Who acts on a cause: what is wrong with an app's settings is for the app's owner, the vendor or a customer.

use diagnosis::{Actor, Cause};
use domain::{App, AppId, Product, product::AppOwner};
use pages::ops::WORDS;

/// Who acts on a cause in one app, or in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acts {
    /// The same in every app.
    Always(Actor),
    /// The owner of each app: the product has apps of its own, and apps that customers own.
    AppOwner,
}

impl Acts {
    /// Who acts on a cause in apps of these owners.
    pub(crate) fn on(cause: &Cause, owners: impl IntoIterator<Item = AppOwner>) -> Self {
        let mut actors = owners.into_iter().map(|owner| cause.actor_of(owner));
        match actors.next() {
            Some(first) if actors.any(|actor| actor != first) => Self::AppOwner,
            Some(first) => Self::Always(first),
            None => Self::Always(cause.actor),
        }
    }

    /// Who it is.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always(Actor::EndUser) => WORDS.whose_user,
            Self::Always(Actor::Admin) => WORDS.whose_admin,
            Self::Always(Actor::Vendor) => WORDS.whose_vendor,
            Self::Always(Actor::Wait) => WORDS.whose_nobody,
            Self::AppOwner => WORDS.whose_owner,
        }
    }

    /// The same as a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Always(Actor::EndUser) => WORDS.user_acts,
            Self::Always(Actor::Admin) => WORDS.admin_acts,
            Self::Always(Actor::Vendor) => WORDS.vendor_acts,
            Self::Always(Actor::Wait) => WORDS.it_passes,
            Self::AppOwner => WORDS.owner_acts,
        }
    }
}

/// Who owns an app. One that the product no longer has counts as the vendor's.
pub(crate) fn owner_of(product: &Product, app: &AppId) -> AppOwner {
    product.app(app).map(|app| app.about.owner).unwrap_or_default()
}

/// Who acts on a cause in this app, as a sentence.
pub(crate) fn next_action(cause: &Cause, app: Option<&App>) -> &'static str {
    Acts::Always(cause.actor_in(app)).sentence()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_of_the_app_fixes_its_settings() {
        let settings = diagnosis::cause("redirect_uri_mismatch").expect("in the catalogue");
        let denied = diagnosis::cause("user_denied").expect("in the catalogue");
        let (vendor, customer) = (AppOwner::Vendor, AppOwner::Customer);
        for (cause, owners, acts) in [
            (settings, vec![vendor], Acts::Always(Actor::Vendor)),
            (settings, vec![customer, customer], Acts::Always(Actor::Admin)),
            (settings, vec![vendor, customer], Acts::AppOwner),
            (settings, vec![], Acts::Always(Actor::Vendor)),
            (denied, vec![vendor, customer], Acts::Always(Actor::EndUser)),
        ] {
            assert_eq!(Acts::on(cause, owners.clone()), acts, "{} {owners:?}", cause.id);
        }
    }
}
