//! What holds of any bytes that Salesforce's token endpoint may answer, as they stand and with a signature that is right.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    SaturatingTime as _,
    secret::{ConsumerSecret, RawTokenAnswer},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use salesforce::{Grant, Hosts, Http, Salesforce};
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "secret";
const ID: &str = "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ";

static SALESFORCE: LazyLock<Salesforce> = LazyLock::new(|| Salesforce::new(Http::new(), Hosts::salesforce()));

/// Reads the bytes as an answer, and computes what is made of one that is accepted: times, hosts, scopes.
pub(crate) fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    is_read(&text);
    if let Ok(Value::Object(mut members)) = serde_json::from_str::<Value>(&text) {
        members.entry("id").or_insert_with(|| ID.into());
        members.entry("issued_at").or_insert_with(|| "1667600739962".into());
        for needed in ["access_token", "refresh_token", "token_type"] {
            members.entry(needed).or_insert_with(|| "Bearer".into());
        }
        let signed = |name: &str| match &members[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let signature = signature(&signed("id"), &signed("issued_at"));
        members.insert("signature".into(), signature.into());
        is_read(&Value::Object(members).to_string());
    }
}

fn is_read(text: &str) {
    let host = SALESFORCE.hosts().production();
    let raw = RawTokenAnswer::new(text);
    let Ok(grant) = SALESFORCE.check_again(&host, &ConsumerSecret::new(SECRET), &raw) else { return };
    assert!(!grant.access.expose().is_empty());
    assert!(grant.refresh.as_ref().is_none_or(|refresh| !refresh.expose().is_empty()));
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, at("2026-11-30T12:00:00Z"), Timestamp::MAX] {
        times_are_computed(&grant, now);
    }
    for last_known in [None, Some("https://acme.my.salesforce.com")] {
        let instance = grant.instance_url(last_known);
        assert!(instance.is_none_or(|instance| SALESFORCE.hosts().own(&instance).is_some()));
    }
    if let Some(moved) = SALESFORCE.new_login_host(&grant, "https://login.salesforce.com") {
        assert!(SALESFORCE.hosts().readmit(&moved).is_ok(), "{moved}");
    }
    grant.granted(&["api".into(), "refresh_token".into()]).to_string();
}

/// A token is never taken to be newer than its receipt, nor to be older than a day.
fn times_are_computed(grant: &Grant, now: Timestamp) {
    let issued_at = grant.issued_at(now);
    assert!(issued_at <= now && now.duration_since(issued_at) <= SignedDuration::from_hours(24));
    for life in [SignedDuration::ZERO, SignedDuration::from_mins(15), SignedDuration::from_hours(24)] {
        assert!(issued_at <= issued_at.later_by(life));
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn signature(id: &str, issued_at: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.update(id.as_bytes());
    mac.update(issued_at.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
