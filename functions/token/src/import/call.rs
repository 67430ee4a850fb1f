//! The body of `POST /v1/connections`, and what is checked in it before anything is looked up or sent.

use domain::{
    App, AppId, Customer, Environment, Product,
    text::{REFRESH_TOKEN_LENGTHS, copy_artifact},
};
use salesforce::{Hosts, LoginHost};
use serde::Deserialize;
use web::{Problem, connect_params};

/// Scopes with which an app gets refresh tokens.
pub(crate) const OFFLINE: [&str; 2] = ["refresh_token", "offline_access"];

/// What the call takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) app: Option<AppId>,
    #[serde(deserialize_with = "web::json_object::object")]
    pub(crate) customer: Customer,
    pub(crate) user: String,
    pub(crate) refresh_token: String,
    pub(crate) environment: Option<Environment>,
    pub(crate) my_domain: Option<String>,
    /// Whether this is one more connection of a customer that is connected at the same host already.
    #[serde(default)]
    pub(crate) another: bool,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl Call {
    /// The app that is meant, and the host that the token is sent to.
    pub(crate) fn check<'a>(
        &self,
        product: &'a Product,
        hosts: &Hosts,
    ) -> Result<(&'a App, LoginHost), Problem> {
        let app = connect_params::app(product, self.app.as_ref())?;
        if !app.scopes.iter().any(|scope| OFFLINE.contains(&scope.as_str())) {
            return Err(Problem::bad_request("the app does not ask for refresh tokens"));
        }
        connect_params::names(&self.customer, &self.user)?;
        if let Some(what) = copy_artifact(&self.refresh_token) {
            return Err(Problem::bad_request(format!("refresh_token {what}")));
        }
        if !REFRESH_TOKEN_LENGTHS.contains(&self.refresh_token.len()) {
            let (least, most) = REFRESH_TOKEN_LENGTHS.into_inner();
            return Err(Problem::bad_request(format!(
                "refresh_token must have {least} to {most} characters"
            )));
        }
        let choice = connect_params::host(hosts, app, self.environment, self.my_domain.as_deref())?;
        let host = hosts.fixed(&choice).ok().flatten();
        let missing = || Problem::bad_request("environment (production or sandbox) or my_domain is needed");
        Ok((app, host.ok_or_else(missing)?))
    }
}
