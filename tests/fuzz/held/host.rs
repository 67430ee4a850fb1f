//! What holds of any text where a Salesforce host is expected: typed or pasted as a My Domain, stored in the table, or named
//! by Salesforce.

use domain::{App, HostChoice};
use http::Uri;
use salesforce::{
    Hosts, LoginHost,
    authorize::{AuthorizeRequest, authorize_url},
};

/// Endings of hosts that an org's users sign in at, or its API answers at.
const SALESFORCES: [&str; 5] =
    [".salesforce.com", ".salesforce.mil", ".crmforce.mil", ".sfcrmproducts.cn", ".sfcrmapps.cn"];

/// Reads the bytes as a host in every way, and builds every request that is made from a host which is accepted.
pub(crate) fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let hosts = Hosts::salesforce();
    if let Ok(host) = hosts.my_domain(&text) {
        is_usable(&hosts, &host);
        assert_eq!(hosts.my_domain(host.host()), Ok(host.clone()), "reading it again changes it");
        is_in_text(host.host(), &text.to_ascii_lowercase());
    }
    for host in [hosts.readmit(&text), hosts.readmit(&format!("https://{text}"))].into_iter().flatten() {
        is_usable(&hosts, &host);
    }
    if let Ok(Some(host)) = hosts.fixed(&HostChoice::MyDomain(text.clone().into_owned())) {
        is_usable(&hosts, &host);
    }
    for address in [text.to_string(), format!("https://{text}")] {
        let Some(own) = hosts.own(&address) else { continue };
        let host = own.host_str().expect("a host");
        assert!(own.scheme() == "https" && SALESFORCES.iter().any(|end| host.ends_with(end)), "{own}");
    }
}

/// The text names the org: no part of a damaged scheme, a label or a path became its name.
fn is_in_text(host: &str, text: &str) {
    let org = host.split('.').next().unwrap_or_default();
    let is_plain = text.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'%' && b != b'&');
    if is_plain && let Some(named) = named_in_full(text) {
        assert_eq!(org, named, "{text}");
    }
    if is_plain && !text.contains('.') {
        let last = text.rsplit(['/', ':']).next().unwrap_or_default();
        assert!(last.contains(org), "{text}: {host}");
    }
}

/// The org whose full host is in a text, if no other part of the text can be a host.
fn named_in_full(text: &str) -> Option<&str> {
    let (before, after) = text.split_once(".my.salesforce.com")?;
    let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()?;
    let is_only = !before.contains('.') && (after.is_empty() || after.starts_with(['/', ' ', ')', ',']));
    is_only.then(|| name.trim_start_matches('-'))
}

fn is_usable(hosts: &Hosts, host: &LoginHost) {
    let name = host.host();
    assert!(SALESFORCES.iter().any(|end| name.ends_with(end)), "{name}");
    assert_eq!(host.origin(), format!("https://{name}"));
    assert_eq!(hosts.readmit(host.origin()).as_ref().map(LoginHost::origin), Ok(host.origin()));
    for path in
        ["/services/oauth2/token", "/services/oauth2/revoke", "/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ"]
    {
        let uri: Uri = format!("{}{path}", host.origin()).parse().expect("a request's address");
        assert_eq!((uri.host(), uri.path(), uri.port()), (Some(name), path, None));
    }
    let request = AuthorizeRequest {
        redirect_uri: "https://latchkey.example/oauth/callback",
        state: "s",
        code_challenge: "c",
        nonce: "n",
        fresh_login: true,
    };
    let url = authorize_url(host, &app(), &request);
    assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some(name), None));
}

fn app() -> App {
    serde_json::from_value(serde_json::json!({
        "id": "sync", "kind": "connected_app", "consumer_key": "3MVG9", "secret": "latchkey/app",
        "scopes": ["api", "openid", "refresh_token"], "names": ["Sync"],
        "packages": { "production": null, "sandbox": null },
        "login_hosts": ["production"], "access_token_minutes": 15,
    }))
    .expect("an app")
}
