//! What the connect page knows beside its session: the guide, the connection that is authorized anew, and whether
//! Salesforce is about to end an older grant. It is there to help, so what cannot be read is left out.

use diagnosis::guide::Audience;
use domain::{App, ConnectSession, Product, SalesforceUserId};
use pages::guide;
use platform::log::internal;
use store::{
    StoreError,
    connection_lists::{ConnectionSummary, ListQuery},
};

use crate::Authorize;

/// Salesforce keeps five grants of a user to an app, and ends the oldest when one more is approved (fact base 3.10);
/// some have seen it end one sooner.
const CROWD: usize = 4;

/// Of how many Salesforce users, at most, the grants are counted for one page.
const COUNTED: usize = 5;

/// What the connect page knows beside its session.
#[derive(Debug, Default)]
pub(crate) struct ConnectContext {
    /// The admin's guide, unless the app was connected from that org before.
    pub(crate) guide: Option<String>,
    /// The connection that is authorized anew.
    pub(crate) renews: Option<ConnectionSummary>,
    /// Whether a Salesforce user has granted the app about as often as Salesforce allows.
    pub(crate) crowded: bool,
}

impl Authorize {
    pub(crate) async fn connect_context(
        &self,
        session: &ConnectSession,
        product: &Product,
        app: &App,
    ) -> ConnectContext {
        let renews = match &session.reconnects {
            Some(id) => or_nothing(self.platform.store.listed(&product.id, id).await),
            None => None,
        };
        ConnectContext {
            guide: self.guide(session).await,
            crowded: or_nothing(self.crowded(session, product, app, renews.as_ref()).await),
            renews,
        }
    }

    /// The admin's install-first guide, unless this app is known to have been connected from that org: an
    /// admin who reads it first spares the user the error.
    async fn guide(&self, session: &ConnectSession) -> Option<String> {
        let (product, app) = (&session.product, &session.app);
        let known = self.platform.connected_before(product, app, session.host.my_domain()).await;
        (known != Some(true)).then(|| guide::path(product, app, Audience::Admin))
    }

    /// Whether one of the Salesforce users who are likely to sign in, since they have before, has about as many grants to
    /// this app as Salesforce keeps: counted over all products, by consumer key.
    async fn crowded(
        &self,
        session: &ConnectSession,
        product: &Product,
        app: &App,
        renews: Option<&ConnectionSummary>,
    ) -> Result<bool, StoreError> {
        let store = &self.platform.store;
        let query = ListQuery { customer: Some(session.customer.id.clone()), after: None, limit: 100 };
        let (listed, _) = store.list_connections(&product.id, &query).await?;
        let of_app = |listed: &&ConnectionSummary| {
            product.app(&listed.app).is_some_and(|its| its.consumer_key == app.consumer_key)
        };
        let mut counted: Vec<&SalesforceUserId> = Vec::new();
        for known in renews.into_iter().chain(listed.iter().rev().filter(of_app)) {
            let user = &known.identity.user;
            if counted.len() == COUNTED || counted.iter().any(|before| before.same_as(user)) {
                continue;
            }
            counted.push(user);
            if store.grants(&app.consumer_key, user).await? >= CROWD {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn or_nothing<T: Default>(read: Result<T, StoreError>) -> T {
    read.unwrap_or_else(|error| {
        internal(&error);
        T::default()
    })
}
