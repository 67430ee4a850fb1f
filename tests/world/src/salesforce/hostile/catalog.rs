//! Every fault, by name.

use std::time::Duration;

use serde_json::json;

use super::{Change, Encoding, Misbehavior, Reply, Timing};

const HTML: &str =
    "<html><head><title>Gateway</title></head><body><h1>Something went wrong</h1></body></html>";

/// The statuses that a proxy or a maintenance page in front of Salesforce answers with.
const STATUSES: [u16; 14] = [200, 204, 400, 401, 403, 404, 408, 413, 418, 429, 500, 502, 503, 504];

/// The members of a token answer.
const MEMBERS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "id",
    "issued_at",
    "signature",
    "instance_url",
    "token_type",
    "scope",
    "id_token",
];

/// All faults. Their names are stable: tables of tests and the control route use them.
pub fn catalog() -> Vec<Misbehavior> {
    let mut faults = in_place_of_the_answer();
    faults.extend(errors());
    faults.extend(redirects());
    faults.extend(members());
    faults.extend(contents());
    faults.extend(forms());
    faults.extend(timings());
    faults.extend(other_endpoints());
    faults
}

fn fault(name: impl Into<String>, processed: bool, reply: Reply) -> Misbehavior {
    Misbehavior { name: name.into(), processed, reply }
}

fn instead(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Reply::Instead { status, headers, body: body.as_bytes().to_vec() }
}

/// A web page or nothing with each status, of a request that was carried out or not.
fn in_place_of_the_answer() -> Vec<Misbehavior> {
    let mut faults = Vec::new();
    for (word, processed) in [("unprocessed", false), ("processed", true)] {
        for status in STATUSES {
            let page = instead(status, &[("content-type", "text/html; charset=UTF-8")], HTML);
            faults.push(fault(format!("{word}-html-{status}"), processed, page));
        }
        for status in [200, 500, 503] {
            faults.push(fault(format!("{word}-empty-{status}"), processed, instead(status, &[], "")));
        }
        for (name, wait) in [
            ("seconds", "120"),
            ("date", "Sun, 22 Nov 2026 13:00:00 GMT"),
            ("nonsense", "soon"),
            ("negative", "-5"),
            ("endless", "99999999999"),
        ] {
            for status in [429, 503] {
                let page = instead(status, &[("content-type", "text/html"), ("retry-after", wait)], HTML);
                faults.push(fault(format!("{word}-retry-after-{name}-{status}"), processed, page));
            }
        }
    }
    faults
}

/// Errors in JSON: OAuth's, Salesforce's APIs', and a gateway's.
fn errors() -> Vec<Misbehavior> {
    const JSON: [(&str, &str); 1] = [("content-type", "application/json;charset=UTF-8")];
    let oauth = |code: &str| json!({ "error": code, "error_description": "for a test" }).to_string();
    let api = |code: &str| json!([{ "errorCode": code, "message": "for a test" }]).to_string();
    [
        ("oauth-server-error-500", 500, oauth("server_error")),
        ("oauth-temporarily-unavailable-503", 503, oauth("temporarily_unavailable")),
        ("oauth-unknown-error-400", 400, oauth("unknown_error")),
        ("oauth-never-seen-400", 400, oauth("never_seen_before")),
        ("oauth-invalid-client-401", 401, oauth("invalid_client")),
        ("api-error-429", 429, api("REQUEST_LIMIT_EXCEEDED")),
        ("api-error-503", 503, api("SERVER_UNAVAILABLE")),
        ("gateway-json-502", 502, json!({ "error": "Bad Gateway" }).to_string()),
        ("gateway-json-500", 500, json!({ "message": "Internal server error" }).to_string()),
        ("json-null-200", 200, "null".to_owned()),
        ("json-list-200", 200, "[]".to_owned()),
        ("json-text-200", 200, "\"ok\"".to_owned()),
        ("json-empty-object-200", 200, "{}".to_owned()),
        ("json-error-200", 200, oauth("unknown_error")),
    ]
    .into_iter()
    .map(|(name, status, body)| fault(name, false, instead(status, &JSON, &body)))
    .chain([fault("huge", false, instead(200, &JSON, &format!("{{\"p\":\"{}\"}}", "x".repeat(2_000_000))))])
    .collect()
}

fn redirects() -> Vec<Misbehavior> {
    let mut faults = Vec::new();
    for (word, processed) in [("unprocessed", false), ("processed", true)] {
        for status in [301, 302, 303, 307, 308] {
            let foreign = [("location", "https://evil.example/services/oauth2/token")];
            faults.push(fault(
                format!("{word}-redirect-foreign-{status}"),
                processed,
                instead(status, &foreign, ""),
            ));
        }
    }
    for (name, to) in [
        ("relative", "/services/oauth2/token"),
        ("look-alike", "https://acme.my.salesforce.com.evil.example/services/oauth2/token"),
        ("not-an-address", "::::"),
        ("script", "javascript:alert(1)"),
    ] {
        faults.push(fault(format!("redirect-{name}"), false, instead(302, &[("location", to)], "")));
    }
    faults.push(fault("redirect-nowhere", false, instead(302, &[], "")));
    faults
}

/// Each member of a token answer absent, empty, of each JSON type, and repeated.
fn members() -> Vec<Misbehavior> {
    let mut faults = Vec::new();
    for member in MEMBERS {
        for (word, change) in [
            ("absent", Change::Remove(member)),
            ("empty", Change::Set(member, json!(""))),
            ("blank", Change::Set(member, json!("  "))),
            ("null", Change::Set(member, json!(null))),
            ("number", Change::Set(member, json!(17))),
            ("boolean", Change::Set(member, json!(true))),
            ("list", Change::Set(member, json!(["a", "b"]))),
            ("object", Change::Set(member, json!({ "a": 1 }))),
            ("doubled", Change::Repeat(member)),
            ("contradicted", Change::Contradict(member)),
        ] {
            faults.push(fault(format!("{member}-{word}"), true, Reply::Members(vec![change])));
        }
    }
    faults
}

/// Members whose value is well formed and surprising.
fn contents() -> Vec<Misbehavior> {
    const YEAR: i64 = 365 * 24 * 3600;
    [
        ("other-org", Change::AnotherOrg),
        ("other-user", Change::AnotherUser),
        ("wrong-signature", Change::WrongSignature),
        ("issued-an-hour-ahead", Change::Issued(3600)),
        ("issued-an-hour-ago", Change::Issued(-3600)),
        ("issued-in-the-far-future", Change::Issued(7000 * YEAR)),
        ("issued-in-the-far-past", Change::Issued(-50 * YEAR)),
        ("same-refresh-token", Change::SameRefreshToken),
        ("instance-unlisted", Change::Instance("my.site.com")),
        ("instance-foreign", Change::Instance("evil.example")),
        ("instance-with-a-path", Change::Set("instance_url", json!("https://acme.my.salesforce.com/x?y"))),
        ("instance-script", Change::Set("instance_url", json!("javascript:alert(1)"))),
        ("expires-in-negative", Change::Set("expires_in", json!(-1))),
        ("expires-in-text", Change::Set("expires_in", json!("7200"))),
        ("expires-in-object", Change::Set("expires_in", json!({ "seconds": 7200 }))),
        ("token-type-unknown", Change::Set("token_type", json!("mac"))),
        ("token-type-lower-case", Change::Set("token_type", json!("bearer"))),
        ("token-type-dpop", Change::Set("token_type", json!("DPoP"))),
        ("scope-unknown", Change::Set("scope", json!("something_new api"))),
        ("extra-members", Change::Set("sfdc_community_url", json!({ "new": [1, 2, null] }))),
    ]
    .into_iter()
    .map(|(name, change)| fault(name, true, Reply::Members(vec![change])))
    .collect()
}

/// The true answer in another form.
fn forms() -> Vec<Misbehavior> {
    [
        ("byte-order-mark", Encoding::ByteOrderMark),
        ("content-type-plain", Encoding::ContentType(Some("text/plain"))),
        ("content-type-html", Encoding::ContentType(Some("text/html"))),
        ("content-type-absent", Encoding::ContentType(None)),
        ("gzip", Encoding::Gzip),
        ("gzip-in-name", Encoding::GzipInName),
        ("utf-16", Encoding::Utf16),
        ("trailing-text", Encoding::Trailing),
        ("tokens-with-201", Encoding::Status(201)),
        ("tokens-with-400", Encoding::Status(400)),
        ("tokens-with-500", Encoding::Status(500)),
        ("tokens-in-a-list", Encoding::InList),
        ("padded", Encoding::Padded(100_000)),
    ]
    .into_iter()
    .map(|(name, encoding)| fault(name, true, Reply::Encoded(encoding)))
    .collect()
}

fn timings() -> Vec<Misbehavior> {
    let second = Duration::from_secs(1);
    [
        ("slow-headers", true, Timing::SlowHead(second)),
        ("slow-body", true, Timing::SlowBody(second)),
        ("reset-before", false, Timing::Reset),
        ("reset-after", true, Timing::Reset),
        ("half", true, Timing::Half),
        ("silence-before", false, Timing::Silence),
        ("silence-after", true, Timing::Silence),
    ]
    .into_iter()
    .map(|(name, processed, timing)| fault(name, processed, Reply::Timed(timing)))
    .collect()
}

/// What only the other endpoints answer.
fn other_endpoints() -> Vec<Misbehavior> {
    let key = |changes: serde_json::Value| Reply::Members(vec![Change::Set("keys", changes)]);
    vec![
        fault("keys-empty", true, key(json!([]))),
        fault(
            "keys-foreign-algorithm",
            true,
            key(json!([{ "kty": "oct", "alg": "HS256", "kid": "simulator", "k": "c2VjcmV0" }])),
        ),
        fault(
            "keys-rotated",
            true,
            key(
                json!([{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "another", "n": "AQAB", "e": "AQAB" }]),
            ),
        ),
        fault("inactive", true, Reply::Members(vec![Change::Set("active", json!(false))])),
        fault("active-absent", true, Reply::Members(vec![Change::Remove("active")])),
        fault("active-text", true, Reply::Members(vec![Change::Set("active", json!("true"))])),
        fault("username-absent", true, Reply::Members(vec![Change::Remove("username")])),
        fault("username-list", true, Reply::Members(vec![Change::Set("username", json!(["a"]))])),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own() {
        let faults = catalog();
        let names: BTreeSet<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names.len(), faults.len());
        assert!(faults.len() >= 90, "{}", faults.len());
        let tidy = |name: &&str| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        assert!(names.iter().all(tidy), "{names:?}");
    }

    /// A name with `{a,b}` in it stands for one name with `a` and one with `b`.
    fn expand(name: &str) -> Vec<String> {
        let Some((before, rest)) = name.split_once('{') else { return vec![name.to_owned()] };
        let (choices, after) = rest.split_once('}').expect("a closing brace");
        let after = expand(after);
        let all = choices.split(',').flat_map(|choice| after.iter().map(move |after| (choice, after)));
        all.map(|(choice, after)| format!("{before}{choice}{after}")).collect()
    }

    #[test]
    fn readme_lists_every_fault_and_no_other() {
        let readme = include_str!("../../../README.md");
        let (_, table) = readme.split_once("## Faults").expect("the section");
        let cells = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.split(" | ").next().expect("a first cell").trim_start_matches("| ").split(", "));
        let names: Vec<String> = cells.flatten().flat_map(|name| expand(name.trim_matches('`'))).collect();
        let listed: BTreeSet<_> = names.iter().map(String::as_str).collect();
        let faults = catalog();
        let known: BTreeSet<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(listed, known);
    }
}
