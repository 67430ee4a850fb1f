//! Somebody answers in the token endpoint's place, with everything right but the id_token. Each forgery meets the real
//! callback; each ends with the grant revoked at Salesforce and a failure on record.

use journeys::Returning;
use serde_json::{Value, json};
use world::salesforce::{
    Fault,
    forge::{self, IdToken},
};

/// A forgery: what it is, how it is made of a genuine answer, and the check that rejects it.
type Forgery = (&'static str, fn(Value) -> (u16, Vec<u8>), &'static str);

/// The answer with this id_token.
fn with(mut answer: Value, forge: impl FnOnce(&mut IdToken) -> String) -> (u16, Vec<u8>) {
    let mut token = IdToken::of(&answer);
    answer["id_token"] = forge(&mut token).into();
    (200, answer.to_string().into_bytes())
}

/// Signed by Salesforce's own key, with this member of the header.
fn header(answer: Value, name: &str, value: Value) -> (u16, Vec<u8>) {
    with(answer, |token| {
        token.header[name] = value;
        token.signed()
    })
}

/// Signed by Salesforce's own key, with this claim.
fn claim(answer: Value, name: &str, value: Value) -> (u16, Vec<u8>) {
    with(answer, |token| {
        token.claims[name] = value;
        token.signed()
    })
}

fn without_claim(answer: Value, name: &str) -> (u16, Vec<u8>) {
    with(answer, |token| {
        token.claims.as_object_mut().expect("claims").remove(name);
        token.signed()
    })
}

/// Signed by a stranger, whose key the header brings along.
fn stranger(answer: Value, header: &Value) -> (u16, Vec<u8>) {
    with(answer, |token| {
        let header = header.as_object().expect("an object").clone();
        token.header.as_object_mut().expect("a header").extend(header);
        token.signed_by_a_stranger()
    })
}

fn hs256(answer: Value, form: usize) -> (u16, Vec<u8>) {
    with(answer, |token| {
        token.header["alg"] = "HS256".into();
        token.hs256(&forge::public_key_as_secrets()[form])
    })
}

/// A claim that is this many seconds off the genuine token's `iat`.
fn seconds(answer: Value, name: &str, off: i64) -> (u16, Vec<u8>) {
    let issued = IdToken::of(&answer).claims["iat"].as_i64().expect("a time");
    claim(answer, name, json!(issued + off))
}

const HEADERS: &[Forgery] = &[
    (
        "no alg",
        |answer| {
            with(answer, |token| {
                token.header.as_object_mut().expect("a header").remove("alg");
                token.signed()
            })
        },
        "algorithm",
    ),
    (
        "alg none",
        |answer| {
            with(answer, |token| {
                token.header["alg"] = "none".into();
                token.unsigned()
            })
        },
        "algorithm",
    ),
    (
        "alg nOnE, under the genuine signature",
        |answer| {
            with(answer, |token| {
                token.header["alg"] = "nOnE".into();
                token.under_the_genuine_signature()
            })
        },
        "algorithm",
    ),
    ("alg RS512", |answer| header(answer, "alg", json!("RS512")), "algorithm"),
    ("alg PS256", |answer| header(answer, "alg", json!("PS256")), "algorithm"),
    ("alg ES256", |answer| header(answer, "alg", json!("ES256")), "algorithm"),
    ("alg in a list", |answer| header(answer, "alg", json!(["RS256"])), "algorithm"),
    ("HS256 with the public key, PKCS #1", |answer| hs256(answer, 0), "algorithm"),
    ("HS256 with the modulus in base64", |answer| hs256(answer, 1), "algorithm"),
    ("HS256 with the modulus", |answer| hs256(answer, 2), "algorithm"),
    ("HS256 with the JWK", |answer| hs256(answer, 3), "algorithm"),
    ("HS256 with the key set", |answer| hs256(answer, 4), "algorithm"),
    (
        "said to be RS256, HMAC with the public key",
        |answer| with(answer, |token| token.hs256(&forge::public_key_as_secrets()[0])),
        "signature",
    ),
    ("another kid", |answer| header(answer, "kid", json!("another")), "key"),
    ("an empty kid", |answer| header(answer, "kid", json!("")), "key"),
    ("a kid that is a path", |answer| header(answer, "kid", json!("../../dev/null")), "key"),
    ("a kid in a list", |answer| header(answer, "kid", json!(["simulator"])), "key id"),
    ("no kid", |answer| header(answer, "kid", Value::Null), "key id"),
    ("a stranger's signature", |answer| stranger(answer, &json!({})), "signature"),
    (
        "an embedded jwk under the right kid",
        |answer| stranger(answer, &json!({ "jwk": forge::strangers_jwk() })),
        "signature",
    ),
    (
        "an embedded jwk under its own kid",
        |answer| stranger(answer, &json!({ "jwk": forge::strangers_jwk(), "kid": "mine" })),
        "key",
    ),
    (
        "a jku of somebody else",
        |answer| stranger(answer, &json!({ "jku": "https://evil.example/id/keys", "kid": "mine" })),
        "key",
    ),
    ("an x5u", |answer| stranger(answer, &json!({ "x5u": "https://evil.example/cert.pem" })), "signature"),
    ("an x5c", |answer| stranger(answer, &json!({ "x5c": ["MIIB"] })), "signature"),
    (
        "critical fields that nobody knows",
        |answer| header(answer, "crit", json!(["exp"])),
        "critical header fields",
    ),
    (
        "an empty list of critical fields",
        |answer| header(answer, "crit", json!([])),
        "critical header fields",
    ),
    ("no signature", |answer| with(answer, |token| token.unsigned()), "signature"),
    (
        "other claims under the genuine signature",
        |answer| {
            with(answer, |token| {
                token.claims["extra"] = true.into();
                token.under_the_genuine_signature()
            })
        },
        "signature",
    ),
    ("two parts", |answer| with(answer, |token| token.unsigned().trim_end_matches('.').to_owned()), "form"),
    ("a text", |answer| with(answer, |_| "not a token".into()), "form"),
];

const CLAIMS: &[Forgery] = &[
    ("no aud", |answer| without_claim(answer, "aud"), "form"),
    ("aud null", |answer| claim(answer, "aud", Value::Null), "audience"),
    ("another app's aud", |answer| claim(answer, "aud", json!("3MVG9another")), "audience"),
    ("an empty list as aud", |answer| claim(answer, "aud", json!([])), "audience"),
    (
        "an extra aud",
        |answer| {
            let ours = IdToken::of(&answer).claims["aud"].clone();
            claim(answer, "aud", json!([ours, "3MVG9another"]))
        },
        "audience",
    ),
    (
        "an aud in two lists",
        |answer| {
            let ours = IdToken::of(&answer).claims["aud"].clone();
            claim(answer, "aud", json!([[ours]]))
        },
        "audience",
    ),
    ("another azp", |answer| claim(answer, "azp", json!("3MVG9another")), "authorized party"),
    ("an azp in a list", |answer| claim(answer, "azp", json!(["3MVG9another"])), "form"),
    ("no iss", |answer| without_claim(answer, "iss"), "form"),
    ("another iss", |answer| claim(answer, "iss", json!("https://evil.example")), "issuer"),
    ("another org's iss", |answer| issuer(answer, |iss| iss.replace("login.", "globex.my.")), "issuer"),
    ("the sandboxes' iss", |answer| issuer(answer, |iss| iss.replace("login.", "test.")), "issuer"),
    ("an iss with a slash", |answer| issuer(answer, |iss| format!("{iss}/")), "issuer"),
    ("an iss with a user", |answer| issuer(answer, |iss| iss.replace("://", "://a@")), "issuer"),
    ("over", |answer| seconds(answer, "exp", -600), "time"),
    ("over before it began", |answer| seconds(answer, "exp", -1), "time"),
    ("no exp", |answer| without_claim(answer, "exp"), "form"),
    ("exp as a text", |answer| claim(answer, "exp", json!("9999999999")), "form"),
    ("issued in the future", |answer| in_future(answer, "iat"), "time"),
    ("no iat", |answer| without_claim(answer, "iat"), "form"),
    ("not yet valid", |answer| seconds(answer, "nbf", 600), "time"),
    (
        "another access token's at_hash",
        |answer| claim(answer, "at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")),
        "access token's hash",
    ),
    ("an empty at_hash", |answer| claim(answer, "at_hash", json!("")), "access token's hash"),
    ("another nonce", |answer| claim(answer, "nonce", json!("nobody-sent-this")), "nonce"),
    ("no nonce", |answer| without_claim(answer, "nonce"), "nonce"),
    ("another user's sub", |answer| subject(answer, "005000000000000AAA"), "subject"),
    ("a sub that is no identity", |answer| claim(answer, "sub", json!("uma@acme.example")), "subject"),
    ("no sub", |answer| without_claim(answer, "sub"), "form"),
];

fn issuer(answer: Value, change: impl FnOnce(&str) -> String) -> (u16, Vec<u8>) {
    let iss = IdToken::of(&answer).claims["iss"].as_str().expect("an issuer").to_owned();
    claim(answer, "iss", json!(change(&iss)))
}

fn in_future(answer: Value, name: &str) -> (u16, Vec<u8>) {
    with(answer, |token| {
        let issued = token.claims["iat"].as_i64().expect("a time");
        token.claims[name] = json!(issued + 600);
        token.claims["exp"] = json!(issued + 1200);
        token.signed()
    })
}

fn subject(answer: Value, user: &str) -> (u16, Vec<u8>) {
    let sub = IdToken::of(&answer).claims["sub"].as_str().expect("a subject").to_owned();
    let (before, _) = sub.rsplit_once('/').expect("an identity URL");
    claim(answer, "sub", json!(format!("{before}/{user}")))
}

/// Each forgery at the callback.
async fn are_rejected(forgeries: &[Forgery]) {
    let again = Returning::begin().await;
    let story = &again.story;
    for (what, forge, check) in forgeries {
        let back = again.about_to_return().await;
        let (log, failures) = (story.logs.length(), failures(&again).await.len());
        story.stack.salesforce.queue_token_fault(Fault::Rewritten(*forge));

        let page = back.follow().await;

        assert_eq!(page.status, 200, "{what}: {page:?}");
        assert!(page.url.path().starts_with("/help/fl_"), "{what}: {}", page.url);
        let said = format!("its id_token fails the check of {check}");
        assert!(story.logs.since(log).contains(&said), "{what}: not rejected for its {check}");
        let with_tokens = story.stack.salesforce.live_grants();
        let with_tokens = with_tokens.iter().filter(|grant| grant.refresh_token.is_some()).count();
        assert_eq!(with_tokens, 1, "{what}: the grant is revoked, the earlier one is not");
        let recorded = failures_after(&again, failures).await;
        assert_eq!(recorded["code"], "id_token_invalid", "{what}: {recorded}");
        assert_eq!(recorded["stage"], "exchange", "{what}: {recorded}");
        assert_eq!(story.connections().await.len(), 1, "{what}: nothing is connected");
    }
    let asked = story.stack.salesforce.calls();
    assert!(asked.iter().all(|call| call.host.ends_with("localhost")), "no address of a token's is visited");
    again.ends_well().await;
}

async fn failures(again: &Returning) -> Vec<Value> {
    let listed = again.story.call("GET", "/v1/failures?limit=100", None).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    listed.body["failures"].as_array().expect("a list").clone()
}

/// The one failure that was recorded since there were so many.
async fn failures_after(again: &Returning, before: usize) -> Value {
    let after = failures(again).await;
    assert_eq!(after.len(), before + 1, "one more is on record");
    after[0].clone()
}

#[tokio::test]
async fn forged_headers_and_signatures_are_revoked_and_recorded() {
    are_rejected(HEADERS).await;
}

#[tokio::test]
async fn forged_claims_are_revoked_and_recorded() {
    are_rejected(CLAIMS).await;
}
