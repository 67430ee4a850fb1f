use serde_json::json;

use super::*;
use crate::Http;

const ID: &str = "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ";
const NOW: &str = "2022-11-04T22:25:39.962Z";

fn signature(issued_at: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(ID.as_bytes());
    mac.update(issued_at.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn whole() -> Value {
    json!({
        "access_token": "00D!AQ", "refresh_token": "5Aep861", "token_type": "Bearer", "scope": "api openid",
        "instance_url": "https://acme.my.salesforce.com", "id": ID, "issued_at": "1667600739962",
        "signature": signature("1667600739962"), "sfdc_community_id": "0DB",
    })
}

fn read_at(typed: &str, status: u16, body: impl Into<Vec<u8>>) -> Result<Grant, SalesforceError> {
    let hosts = Hosts::salesforce();
    let host = hosts.my_domain(typed).unwrap();
    let answered = Answered {
        host,
        status: http::StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        calls: 1,
        body: body.into(),
    };
    read(&hosts, &ConsumerSecret::new("secret"), answered)
}

fn changed(change: impl FnOnce(&mut Value)) -> Result<Grant, SalesforceError> {
    let mut json = whole();
    change(&mut json);
    read_at("login.salesforce.com", 200, json.to_string())
}

fn distrust(answer: Result<Grant, SalesforceError>) -> Distrust {
    match answer {
        Err(SalesforceError::Doubtful(doubtful)) => doubtful.distrust,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signed_answer_is_read() {
    let grant = changed(|_| ()).unwrap();
    assert_eq!(grant.identity.org.as_str(), "00D50000000IZ3ZEAW");
    assert_eq!(grant.instance_url(None).as_deref(), Some("https://acme.my.salesforce.com"));
    assert_eq!(grant.issued_at(NOW.parse().unwrap()).as_millisecond(), 1_667_600_739_962);
    assert_eq!(grant.refresh.unwrap().expose(), "5Aep861");
    assert_eq!(grant.scopes.to_string(), "api openid");
}

#[test]
fn advisory_fields_may_have_any_form() {
    let odd = [
        json!(null),
        json!(""),
        json!(" "),
        json!(7),
        json!(-1.5),
        json!(true),
        json!([]),
        json!({"a": [1]}),
    ];
    for field in ["scope", "id_token", "instance_url", "expires_in", "sfdc_community_id", "never_seen"] {
        for value in &odd {
            let grant = changed(|json| json[field] = value.clone())
                .unwrap_or_else(|error| panic!("{field} {value}: {error}"));
            assert_eq!(
                (grant.access.expose(), grant.refresh.unwrap().expose()),
                ("00D!AQ", "5Aep861"),
                "{field} {value}"
            );
        }
    }
    let listed = changed(|json| json["scope"] = json!(["api", "openid web", 3])).unwrap();
    assert_eq!(listed.scopes.to_string(), "api openid web");
}

/// Tokens that stand deeper than they should are kept for an operator, with any status; words about tokens are a refusal.
#[test]
fn tokens_within_a_wrapper_are_doubtful_and_not_dropped() {
    let whole = whole();
    for body in [
        json!({ "result": whole }),
        json!({ "data": [{ "token": whole }], "ok": true }),
        json!({ "response": whole.to_string(), "token": { "refresh_token": "5Aep861" } }),
    ] {
        for status in [200, 302, 500] {
            let answer = read_at("login.salesforce.com", status, body.to_string());
            assert!(matches!(answer, Err(SalesforceError::Doubtful(_))), "{status} {body}: {answer:?}");
        }
    }
    let refusal = json!({ "error": "invalid_grant", "error_description": "expired access/refresh token" });
    for body in [refusal, json!({ "error": "invalid_grant", "hint": "send refresh_token" })] {
        let answer = read_at("login.salesforce.com", 400, body.to_string());
        assert!(matches!(answer, Err(SalesforceError::Refused { .. })), "{body}: {answer:?}");
    }
}

#[test]
fn empty_is_absent() {
    for empty in [json!(null), json!(""), json!("  ")] {
        assert!(changed(|json| json["refresh_token"] = empty.clone()).unwrap().refresh.is_none());
        assert!(changed(|json| json["token_type"] = empty.clone()).is_ok());
        assert!(changed(|json| json["id_token"] = empty.clone()).unwrap().id_token.is_none());
        assert_eq!(
            distrust(changed(|json| json["access_token"] = empty.clone())),
            Distrust::Form("its access_token")
        );
        assert_eq!(distrust(changed(|json| json["id"] = empty.clone())), Distrust::Form("its id"));
    }
}

#[test]
fn encoding_and_repetition_do_not_matter() {
    let text = whole().to_string();
    let marked = format!("\u{feff}{text}");
    let trailed = format!("\r\n {text}\r\n<!-- served by proxy -->");
    let repeated = text.replacen('{', r#"{"scope":"web","refresh_token":"5Aep861","instance_url":"x","#, 1);
    let mut not_utf8 = text.replace("0DB", "~").into_bytes();
    *not_utf8.iter_mut().find(|byte| **byte == b'~').unwrap() = 0xe9;
    for body in [marked.into_bytes(), trailed.into_bytes(), repeated.into_bytes(), not_utf8] {
        let grant = read_at("login.salesforce.com", 200, body).unwrap();
        assert_eq!(grant.refresh.unwrap().expose(), "5Aep861");
    }
    assert!(read_at("login.salesforce.com", 201, text).is_ok());
}

#[test]
fn issued_at_may_be_a_number_and_absurd() {
    let now: Timestamp = NOW.parse().unwrap();
    let number = changed(|json| json["issued_at"] = json!(1_667_600_739_962_u64)).unwrap();
    assert_eq!(number.issued_at(now), now);
    for absurd in ["253402207200000", "0", "-9223372036854775808", "soon", "99999999999999999999", "1.5e300"]
    {
        let grant = changed(|json| {
            json["issued_at"] = absurd.into();
            json["signature"] = signature(absurd).into();
        });
        assert_eq!(grant.unwrap().issued_at(now), now, "{absurd}");
    }
    let ahead = "1667604339962";
    let grant = changed(|json| {
        json["issued_at"] = ahead.into();
        json["signature"] = signature(ahead).into();
    });
    assert_eq!(grant.unwrap().issued_at(now), now, "an hour ahead: the earlier of both clocks");
}

#[test]
fn what_cannot_be_used_is_kept_whole() {
    type Case = (&'static str, fn(&mut Value), Distrust);
    let cases: [Case; 13] = [
        ("signature of another time", |json| json["issued_at"] = "1667600739963".into(), Distrust::Signature),
        ("signature", |json| json["signature"] = "AAAA".into(), Distrust::Signature),
        ("not base64", |json| json["signature"] = "not base64!".into(), Distrust::Signature),
        ("no signature", |json| json["signature"] = json!(null), Distrust::Form("its signature")),
        (
            "a signature that is a list",
            |json| json["signature"] = json!([1]),
            Distrust::Form("its signature"),
        ),
        (
            "an access token that is a list",
            |json| json["access_token"] = json!(["x"]),
            Distrust::Form("its access_token"),
        ),
        (
            "an access token with a line break",
            |json| json["access_token"] = "a\nb".into(),
            Distrust::Form("its access_token"),
        ),
        (
            "a refresh token that is a number",
            |json| json["refresh_token"] = json!(5),
            Distrust::Form("its refresh_token"),
        ),
        (
            "a token of 40 kB",
            |json| json["refresh_token"] = "x".repeat(40_000).into(),
            Distrust::Form("its refresh_token"),
        ),
        ("another type", |json| json["token_type"] = "mac".into(), Distrust::TokenType),
        ("DPoP", |json| json["token_type"] = "DPoP".into(), Distrust::TokenType),
        ("a type that is a list", |json| json["token_type"] = json!(["Bearer"]), Distrust::TokenType),
        (
            "no access token",
            |json| drop(json.as_object_mut().unwrap().remove("access_token")),
            Distrust::Form("its access_token"),
        ),
    ];
    for (what, change, expected) in cases {
        let Err(SalesforceError::Doubtful(doubtful)) = changed(change) else { panic!("{what}") };
        assert_eq!(doubtful.distrust, expected, "{what}");
        assert!(
            doubtful.raw.expose().contains("5Aep861") || doubtful.raw.expose().contains("refresh_token"),
            "{what}"
        );
        assert!(!format!("{doubtful:?}").contains("5Aep"), "{what}: a secret is printed");
    }
    let twice = whole().to_string().replacen('{', r#"{"refresh_token":"5Aep-another","#, 1);
    assert_eq!(distrust(read_at("login.salesforce.com", 200, twice)), Distrust::Form("its refresh_token"));
    assert_eq!(
        distrust(read_at("login.salesforce.com", 502, whole().to_string())),
        Distrust::Form("its status")
    );
    let half = &whole().to_string()[..120];
    assert_eq!(distrust(read_at("login.salesforce.com", 200, half)), Distrust::Form("its JSON"));
    let deep = format!(r#"{{"access_token":"x","a":{}"#, "[".repeat(10_000));
    assert_eq!(distrust(read_at("login.salesforce.com", 200, deep)), Distrust::Form("its JSON"));
    assert_eq!(
        distrust(read_at("login.salesforce.com", 200, "access_token=x&refresh_token=y")),
        Distrust::Form("its JSON")
    );
}

#[test]
fn unknown_instance_keeps_the_last_known_one() {
    for address in ["https://acme.my.site.com", "https://evil.com", "x", "http://acme.my.salesforce.com"] {
        let grant = changed(|json| json["instance_url"] = address.into()).unwrap();
        assert!(grant.unknown_instance.is_some(), "{address}");
        assert_eq!(
            grant.instance_url(Some("https://na1.salesforce.com")).as_deref(),
            Some("https://na1.salesforce.com")
        );
        assert_eq!(grant.instance_url(None), None, "{address}");
        let mut json = whole();
        json["instance_url"] = address.into();
        let grant = read_at("acme", 200, json.to_string()).unwrap();
        assert_eq!(
            grant.instance_url(None).as_deref(),
            Some("https://acme.my.salesforce.com"),
            "the org's My Domain"
        );
    }
}

#[test]
fn only_the_endpoints_own_errors_are_refusals() {
    let refused = |status, body: &str| match read_at("login.salesforce.com", status, body) {
        Err(SalesforceError::Refused { code, format, .. }) => Some((code, format)),
        Err(SalesforceError::Unreadable { .. }) => None,
        other => panic!("{other:?}"),
    };
    for (body, code, format) in [
        (r#"{"error":"invalid_grant","error_description":"x"}"#, "invalid_grant", ErrorFormat::OAuth),
        (r#"{"error":"OAUTH_APP_BLOCKED"}"#, "OAUTH_APP_BLOCKED", ErrorFormat::OAuth),
        (
            "\u{feff}{\"error\":\"invalid_grant\",\"error_description\":7}",
            "invalid_grant",
            ErrorFormat::OAuth,
        ),
        (r#"[{"errorCode":"SERVER_UNAVAILABLE","message":"x"}]"#, "SERVER_UNAVAILABLE", ErrorFormat::Api),
    ] {
        assert_eq!(refused(400, body), Some((code.to_owned(), format)), "{body}");
    }
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "<html>refresh_token</html>",
        r#"{"error":"Bad Gateway"}"#,
        r#"{"error":"Forbidden"}"#,
        r#"{"error":502}"#,
        r#"{"error":{"code":"invalid_grant"}}"#,
        r#"{"error":""}"#,
        r#"{"message":"Forbidden"}"#,
    ] {
        assert_eq!(refused(502, body), None, "{body}");
    }
}

#[test]
fn set_aside_answer_passes_once_its_reason_is_gone() {
    let salesforce = crate::Salesforce::new(Http::new(), Hosts::salesforce());
    let Err(SalesforceError::Doubtful(doubtful)) = changed(|json| json["signature"] = signature("1").into())
    else {
        panic!("signed")
    };
    let again = |raw| salesforce.check_again(&doubtful.host, &ConsumerSecret::new("secret"), raw);
    assert_eq!(again(&doubtful.raw).unwrap_err(), Distrust::Signature);
    assert!(again(&RawTokenAnswer::new(whole().to_string())).is_ok());
}

#[test]
fn id_names_an_org_and_a_user_and_nothing_else() {
    let hosts = Hosts::salesforce();
    for bad in [
        "https://evil.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ",
        "https://login.salesforce.com/id/00550000001fg5OAAQ/00D50000000IZ3ZEAW",
        "https://login.salesforce.com/id/00D50000000IZ3ZEAW",
        "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ/more",
        "https://login.salesforce.com/x/00D50000000IZ3ZEAW/00550000001fg5OAAQ",
    ] {
        assert!(identity(&hosts, bad).is_none(), "{bad}");
    }
}

#[test]
fn every_readable_token_of_a_doubtful_answer_can_be_revoked() {
    let revocable = |body: &str| super::revocable(&RawTokenAnswer::new(body));
    assert_eq!(revocable(r#"{"access_token":"a","refresh_token":"r"}"#), ["r"]);
    assert_eq!(revocable(r#"{"access_token":"a","refresh_token":null}"#), ["a"]);
    assert_eq!(
        revocable(r#"{"refresh_token":"r","refresh_token":"s"}"#),
        ["r", "s"],
        "nobody knows which one"
    );
    assert_eq!(revocable(r#"[{"access_token":"a","refresh_token" : "r"}]"#), ["r"]);
    assert_eq!(revocable(r#"{"access_token":"a","refresh_token":"r","scop"#), ["r"], "half an answer");
    assert_eq!(revocable(r#"{"access_token":"a","refresh_tok"#), ["a"]);
    assert!(revocable("<html>refresh_token</html>").is_empty());
}

#[test]
fn utf_16_is_read_with_and_without_its_mark() {
    let text = whole().to_string();
    let bytes = |mark: &str, to: fn(u16) -> [u8; 2]| {
        format!("{mark}{text}").encode_utf16().flat_map(to).collect::<Vec<u8>>()
    };
    for mark in ["", "\u{feff}"] {
        for body in [bytes(mark, u16::to_be_bytes), bytes(mark, u16::to_le_bytes)] {
            assert_eq!(without_mark(&body), text);
        }
    }
    for short in [&b""[..], b"{", b"\0", b"\xff\xfe"] {
        assert!(without_mark(short).len() < 4, "{short:?}");
    }
}

#[test]
fn granted_scopes_are_told_or_those_that_were_asked_for() {
    let asked = ["api".to_owned(), "refresh_token".to_owned()];
    assert_eq!(changed(|_| ()).unwrap().granted(&asked).to_string(), "api openid");
    let silent = changed(|json| json["scope"] = json!("")).unwrap();
    assert_eq!(silent.granted(&asked).to_string(), "api refresh_token");
}

#[test]
fn instance_of_another_source_is_used() {
    let grant = changed(|json| json["instance_url"] = json!("")).unwrap();
    assert_eq!(grant.instance_url(None), None);
    let grant = grant.at_instance("https://acme.my.salesforce.com".into());
    assert_eq!(grant.instance_url(None).as_deref(), Some("https://acme.my.salesforce.com"));
}

#[test]
fn endpoints_own_refusal_is_told_from_an_apis_and_a_page() {
    let is_own = |body: &str| {
        let answered = Answered {
            host: Hosts::salesforce().production(),
            status: http::StatusCode::BAD_REQUEST,
            retry_after: None,
            calls: 1,
            body: body.into(),
        };
        answered.is_oauth_error()
    };
    assert!(is_own(r#"{"error":"invalid_grant"}"#));
    assert!(!is_own(r#"[{"errorCode":"API_DISABLED","message":"no"}]"#));
    assert!(!is_own("<html>"));
}
