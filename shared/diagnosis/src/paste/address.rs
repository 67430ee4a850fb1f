//! Addresses: which org's host a text names, and which of Salesforce's pages it was.

use super::super::words::normal;
use super::fields::Fields;
use domain::Surface;

/// Where My Domains live. A local world has them under `.my.salesforce.` with a label of its own.
const SALESFORCE: [&str; 5] =
    [".my.salesforce.com", ".my.salesforce.mil", ".crmforce.mil", ".my.sfcrmproducts.cn", ".sfcrmapps.cn"];

/// Hosts of the same org that are not its login host, and what stands there instead.
const ALIASES: [(&str, &str); 2] =
    [(".lightning.force.com", ".my.salesforce.com"), (".my.salesforce-setup.com", ".my.salesforce.com")];

/// The first My Domain that an address in the text names, in lower case, with a local port if it has one. It is
/// good for links into that org's Setup and for nothing else: whoever uses it checks it again.
pub(super) fn my_domain(text: &str) -> Option<String> {
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let mut rest = text;
    let mut before = "";
    while !rest.is_empty() {
        let skipped = rest.find(is_host).unwrap_or(rest.len());
        let between = &rest[..skipped];
        rest = &rest[skipped..];
        let length = rest.find(|c| !is_host(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        rest = after;
        // `https:` and `//` before, and neither `user@host` nor a path that imitates a host.
        let begins = match between.chars().next_back() {
            None => before.is_empty(),
            Some('/') => between.ends_with("//"),
            Some(c) => {
                c.is_whitespace()
                    || matches!(c, '"' | '\'' | '(' | '<' | '=' | '>' | '[' | '`' | '“' | '„' | '«')
            }
        };
        if begins
            && !after.starts_with(['@', '\\', '%', '_'])
            && let Some(host) = host(run)
        {
            return Some(host);
        }
        before = run;
    }
    None
}

fn host(run: &str) -> Option<String> {
    let run = run.trim_end_matches(['.', ':']).to_ascii_lowercase();
    let (name, port) = match run.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (run.as_str(), None),
    };
    let name = ALIASES
        .iter()
        .find_map(|(alias, own)| name.strip_suffix(alias).map(|org| format!("{org}{own}")))
        .unwrap_or_else(|| name.to_owned());
    let suffix = suffix(&name)?;
    let org = name.strip_suffix(suffix)?;
    let labels_hold = org.split('.').all(|label| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    });
    if !labels_hold || name.len() > 253 {
        return None;
    }
    match port {
        None => Some(name),
        Some(port) if SALESFORCE.contains(&suffix) || port.parse::<u16>().is_err() => None,
        Some(port) => Some(format!("{name}:{port}")),
    }
}

/// The part of a host that is Salesforce's: one of [`SALESFORCE`], or `.my.salesforce.` with one other label.
fn suffix(name: &str) -> Option<&str> {
    if let Some(suffix) = SALESFORCE.iter().find(|suffix| name.ends_with(**suffix)) {
        return Some(suffix);
    }
    let at = name.rfind(".my.salesforce.")?;
    let label = &name[at + ".my.salesforce.".len()..];
    let one_label = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphabetic());
    one_label.then(|| &name[at..])
}

/// Pages that can be told by a word of their address.
const PAGES: [(&str, Surface); 8] = [
    ("remoteaccesserrorpage", Surface::HostedPage),
    ("appinstallerrorpage", Surface::OtherPage),
    ("remoteaccessauthorizationpage", Surface::OtherPage),
    ("samlerror", Surface::OtherPage),
    ("authorizationerror", Surface::OtherPage),
    ("icrequired", Surface::OtherPage),
    ("/lightning/", Surface::OtherPage),
    ("/setup/", Surface::OtherPage),
];

/// Where the text was seen, as far as it shows.
pub(super) fn surface(text: &str, code: Option<&str>, fields: &Fields) -> Surface {
    let lower = text.to_ascii_lowercase();
    let code = code.map(normal).unwrap_or_default();
    if let Some((_, surface)) = PAGES.iter().find(|(page, _)| lower.contains(page)) {
        return *surface;
    }
    if code == "oauth approval error generic" || lower.contains("because of an oauth error") {
        Surface::HostedPage
    } else if code.starts_with("login ") || lower.contains("login history") || lower.contains("failed: ") {
        Surface::LoginHistory
    } else if lower.contains("/services/oauth2/authorize") {
        Surface::RawBody
    } else if fields.is_api {
        Surface::Api
    } else if lower.contains("/services/oauth2/token") {
        Surface::TokenEndpoint
    } else if fields.has_state && fields.error.is_some() {
        Surface::Callback
    } else if lower.trim_start().starts_with("error=") {
        Surface::RawBody
    } else {
        Surface::Unknown
    }
}

/// The path of the first address of Salesforce's in a text, for a text that says nothing else.
pub(super) fn page(text: &str) -> Option<String> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let address = text[start..].split(|c: char| c.is_whitespace() || matches!(c, '"' | '>' | '<')).next()?;
    let (host_part, path) = address.split_once('/')?;
    let salesforce = host(host_part).is_some()
        || [".salesforce.com", ".force.com", ".salesforce-setup.com"]
            .iter()
            .any(|own| host_part.ends_with(own));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    (salesforce && !path.is_empty()).then(|| format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_my_domain_is_taken_from_an_address_alone() {
        for (text, found) in [
            ("https://acme.my.salesforce.com/setup/x", Some("acme.my.salesforce.com")),
            ("HTTPS://ACME--uat.sandbox.MY.salesforce.com", Some("acme--uat.sandbox.my.salesforce.com")),
            ("see acme.my.salesforce.com.", Some("acme.my.salesforce.com")),
            ("https://acme.lightning.force.com/lightning/page", Some("acme.my.salesforce.com")),
            ("http://acme.my.salesforce.localhost:8080/x", Some("acme.my.salesforce.localhost:8080")),
            ("url=https://acme.my.salesforce.com/x", Some("acme.my.salesforce.com")),
            ("https://acme.my.salesforce.com@evil.example/", None),
            ("https://evil.example/acme.my.salesforce.com/", None),
            ("https://acme.my.salesforce.com.evil.example/", None),
            ("https://evil.example#.my.salesforce.com", None),
            ("https://acme.my.salesforce.com:8443/", None),
            ("https://login.salesforce.com/", None),
            ("https://.my.salesforce.com/", None),
            ("https://my.salesforce.com/", None),
        ] {
            assert_eq!(my_domain(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn the_page_of_an_address_is_its_path() {
        assert_eq!(page("https://acme.my.salesforce.com/setup/a?b=c").as_deref(), Some("/setup/a"));
        assert_eq!(page("https://example.com/setup/a"), None);
        assert_eq!(page("nothing"), None);
    }
}
