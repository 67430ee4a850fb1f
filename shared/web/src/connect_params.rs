//! What the calls that lead to a connection have in common: which app, which host, whose.

use domain::{App, AppId, Customer, Environment, HostChoice, Product, text};
use http::StatusCode;
use salesforce::Hosts;

use crate::Problem;

/// Maximum length of a product's own ids and names, in bytes.
const MAX_TEXT: usize = 200;

/// Maximum length of a user's name, in characters.
const MAX_USER_NAME: usize = 60;

/// The app that is meant: the one that is named, or the only one.
pub fn app<'a>(product: &'a Product, asked: Option<&AppId>) -> Result<&'a App, Problem> {
    match (asked, product.apps.as_slice()) {
        (Some(id), _) => {
            product.app(id).ok_or_else(|| Problem::bad_request("the product has no app of that id"))
        }
        (None, [only]) => Ok(only),
        (None, _) => Err(Problem::bad_request("app is needed: the product has several apps")),
    }
}

/// Where the user signs in: fixed by the call, or open. `my_domain` may name a shared login host, so the app's
/// `login_hosts` are compared with the host, not with the member.
pub fn host(
    hosts: &Hosts,
    app: &App,
    environment: Option<Environment>,
    my_domain: Option<&str>,
) -> Result<HostChoice, Problem> {
    // An empty my_domain is absent if environment names the host.
    let my_domain = my_domain.filter(|typed| environment.is_none() || !typed.trim().is_empty());
    let choice = match (environment, my_domain) {
        (None | Some(Environment::MyDomain), Some(typed)) => {
            let host = hosts.my_domain(typed).map_err(|refused| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "not-a-salesforce-host",
                    "my_domain is not a Salesforce sign-in host",
                    refused.to_string(),
                )
            })?;
            match host.environment() {
                Environment::Production => HostChoice::Production,
                Environment::Sandbox => HostChoice::Sandbox,
                Environment::MyDomain => HostChoice::MyDomain(host.host().to_owned()),
            }
        }
        (Some(Environment::Production), None) => HostChoice::Production,
        (Some(Environment::Sandbox), None) => HostChoice::Sandbox,
        (None | Some(Environment::MyDomain), None) => HostChoice::Open,
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request(
                "give my_domain, or environment production or sandbox, not both",
            ));
        }
    };
    match choice.environment().filter(|needed| !app.login_hosts.contains(needed)) {
        None => Ok(choice),
        Some(needed) => {
            let what = format!("the app's login_hosts do not include that environment, {}", needed.word());
            Err(Problem::bad_request(what))
        }
    }
}

/// Whether the product's own ids and names can be kept.
pub fn names(customer: &Customer, user: &str) -> Result<(), Problem> {
    let texts = [("customer.id", customer.id.as_str()), ("user", user)];
    if let Some((name, _)) = texts.iter().find(|(_, text)| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(Problem::bad_request(format!("{name} must have 1 to {MAX_TEXT} bytes")));
    }
    if customer.name.as_ref().is_some_and(|name| name.len() > MAX_TEXT) {
        return Err(Problem::bad_request(format!("customer.name must have at most {MAX_TEXT} bytes")));
    }
    // "c-1" and "c-1 " read alike, and would be two customers.
    let is_ambiguous = |id: &str| id.trim() != id || id.contains(|c: char| c.is_whitespace() && c != ' ');
    if let Some((name, _)) = texts.iter().find(|(_, id)| is_ambiguous(id)) {
        return Err(Problem::bad_request(format!(
            "{name} must not begin or end with a space, nor have other blanks"
        )));
    }
    let ids = texts.iter().find_map(|(name, id)| Some((*name, text::deceptive_in_id(id)?)));
    let name = || Some(("customer.name", text::deceptive_in_name(customer.name.as_deref()?)?));
    if let Some((member, c)) = ids.or_else(name) {
        let what = format!("{member} has a control or invisible character, U+{:04X}", u32::from(c));
        return Err(Problem::bad_request(what));
    }
    Ok(())
}

/// Whether the name of the product's user can be kept.
pub fn user_name(name: Option<&str>) -> Result<(), Problem> {
    let Some(name) = name else { return Ok(()) };
    if name.trim().is_empty() || name.chars().count() > MAX_USER_NAME {
        return Err(Problem::bad_request(format!("user_name must have 1 to {MAX_USER_NAME} characters")));
    }
    match text::deceptive_in_name(name) {
        None => Ok(()),
        Some(c) => Err(Problem::bad_request(format!(
            "user_name has a control or invisible character, U+{:04X}",
            u32::from(c)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_hosts_limit_the_host_that_was_read() {
        use Environment::{MyDomain, Production, Sandbox};
        let (login, test) = ("https://login.salesforce.com", "test.salesforce.com");
        let acme = "acme.my.salesforce.com";
        let own = || Ok(HostChoice::MyDomain(acme.to_owned()));
        let (missing, not_both) = ("do not include", "not both");
        for (login_hosts, environment, my_domain, expected) in [
            (&[MyDomain][..], None, Some(login), Err(missing)),
            (&[MyDomain], Some(MyDomain), Some(test), Err(missing)),
            (&[MyDomain, Sandbox], None, Some(login), Err(missing)),
            (&[Production, Sandbox], None, Some(login), Ok(HostChoice::Production)),
            (&[Production, Sandbox], Some(MyDomain), Some(test), Ok(HostChoice::Sandbox)),
            (&[Production, Sandbox], None, Some(acme), Err(missing)),
            (&[MyDomain], None, Some(acme), own()),
            (&[MyDomain], Some(MyDomain), Some(acme), own()),
            (&[MyDomain], Some(Production), None, Err(missing)),
            (&[Production, MyDomain], Some(Production), Some(acme), Err(not_both)),
            (&[Production, MyDomain], Some(Production), Some(" "), Ok(HostChoice::Production)),
            (&[Production, MyDomain], Some(MyDomain), Some(""), Ok(HostChoice::Open)),
            (&[Production, MyDomain], None, Some(""), Err("Enter your My Domain")),
        ] {
            let app: App = serde_json::from_value(serde_json::json!({
                "id": "sync", "kind": "connected_app", "consumer_key": "3MVG9", "secret": "latchkey/app",
                "scopes": ["api"], "names": ["Sync"], "packages": { "production": null, "sandbox": null },
                "login_hosts": login_hosts, "access_token_minutes": 15,
            }))
            .expect("an app");
            let read = host(&Hosts::salesforce(), &app, environment, my_domain);
            match (read, &expected) {
                (Ok(choice), Ok(expected)) => assert_eq!(choice, *expected),
                (Err(problem), Err(says)) => {
                    let detail = problem.detail();
                    assert!(detail.contains(says), "{login_hosts:?} {my_domain:?}: {detail}");
                }
                (read, _) => panic!("{login_hosts:?} {environment:?} {my_domain:?}: {read:?}"),
            }
        }
    }
}
