//! Addresses in a product file: where browsers are sent back to, pages, install links.

use salesforce::Hosts;
use toml::Spanned;
use url::{Host, Url};

use super::{Check, sense};

/// Hosts of install links.
pub(super) const PRODUCTION: &str = "login.salesforce.com";
pub(super) const SANDBOXES: &str = "test.salesforce.com";

/// What is added to a return address.
const RESERVED: [&str; 2] = ["connect_session", "receipt"];

impl Check<'_> {
    pub(super) fn https(&mut self, field: &str, address: &Spanned<String>) -> Option<Url> {
        if let Some(what) = sense::address(address.get_ref()) {
            self.wrong(field, address, what);
            return None;
        }
        let url = Url::parse(address.get_ref()).ok().filter(|url| url.scheme() == "https");
        if url.is_none() {
            self.wrong(field, address, "an https address is needed");
        }
        url
    }

    /// Browsers are sent back to these exact addresses, so each is written as it is compared.
    pub(super) fn return_address(&mut self, address: &Spanned<String>) -> Option<Url> {
        if let Some(what) = sense::address(address.get_ref()) {
            self.wrong("return_addresses", address, what);
            return None;
        }
        let Ok(url) = Url::parse(address.get_ref()) else {
            self.wrong("return_addresses", address, "not an address");
            return None;
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_this_machine(&url)) {
            let what =
                "an https address is needed (http only for this machine: localhost, 127.0.0.1 or [::1])";
            self.wrong("return_addresses", address, what);
        } else if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            self.wrong(
                "return_addresses",
                address,
                "an address without a fragment and without a user name is needed",
            );
        } else if let Some(name) = reserved_parameter(&url) {
            let what =
                format!("its query has {name}, which is added to the address when a browser comes back");
            self.wrong("return_addresses", address, what);
        } else if url.as_str() != address.get_ref() {
            let what = format!("addresses are compared character for character: write it as {url}");
            self.wrong("return_addresses", address, what);
        } else {
            return Some(url);
        }
        None
    }

    /// `other` is the host where an install link of the other environment leads.
    pub(super) fn package(&mut self, field: &str, link: Option<Spanned<String>>, other: &str) -> Option<Url> {
        let link = link?;
        if let Some(what) = sense::address(link.get_ref()) {
            self.wrong(field, &link, what);
            return None;
        }
        let url = Url::parse(link.get_ref()).ok().filter(|url| url.path() != "/");
        let own = url.as_ref().is_some_and(|url| {
            let local = url.host_str().is_some_and(|host| host.ends_with(".localhost"));
            local || Hosts::salesforce().own(url.as_str()).is_some()
        });
        if let Some(url) = url.filter(|_| own) {
            if url.host_str() == Some(other) {
                let what =
                    format!("{other} installs into the other kind of org: the two links are exchanged");
                self.wrong(field, &link, what);
            }
            return Some(url);
        }
        self.wrong(
            field,
            &link,
            "an install link of Salesforce's is needed: https://login.salesforce.com/packaging/…",
        );
        None
    }
}

/// The first parameter of a return address that would stand there twice.
fn reserved_parameter(address: &Url) -> Option<&'static str> {
    let names = || address.query_pairs().map(|(name, _)| name);
    RESERVED.into_iter().find(|reserved| names().any(|name| name == *reserved))
}

/// Whether an address never leaves the machine of the person who opens it (RFC 8252 §7.3, RFC 6761 §6.3).
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
