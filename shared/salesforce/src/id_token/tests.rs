use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::engine::general_purpose::STANDARD;
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair},
};
use serde_json::json;

use super::*;
use crate::{
    Hosts, Http,
    http::{Sending, Transport},
};

const NOW: i64 = 1_796_000_000;
const HOST: &str = "https://login.salesforce.com";
const MY_DOMAIN: &str = "https://acme.my.salesforce.com";
const ID: &str = "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ";

/// A host that answers with these keys, and counts how often it is asked.
#[derive(Debug)]
struct KeyHost(Value, Arc<AtomicUsize>);

impl Transport for KeyHost {
    fn send(&self, request: http::Request<Vec<u8>>, _: Duration) -> Sending {
        assert_eq!(
            request.uri().to_string(),
            "https://login.salesforce.com/id/keys",
            "keys come from the host alone"
        );
        self.1.fetch_add(1, Ordering::SeqCst);
        let body = self.0.to_string().into_bytes();
        Box::pin(async move { Ok(http::Response::new(body)) })
    }
}

fn signing_key() -> RsaKeyPair {
    let pem = include_str!("../../../../tests/world/src/salesforce/simulator_signing_key.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_der(&STANDARD.decode(base64).unwrap()).unwrap()
}

fn jwk() -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(signing_key().public());
    let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1", "n": encode(public.n), "e": encode(public.e) })
}

fn signed_with(algorithm: &'static dyn RsaEncoding, header: &Value, claims: &Value) -> RawIdToken {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let key = signing_key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(algorithm, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    RawIdToken::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn header() -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" })
}

fn claims() -> Value {
    json!({ "iss": HOST, "sub": ID, "aud": "the-app", "exp": NOW + 120, "iat": NOW, "nonce": "n-1" })
}

async fn check_with(keys: Value, token: RawIdToken) -> Result<(), SalesforceError> {
    let hosts = Hosts::salesforce();
    let salesforce = Salesforce::new(Http::through(KeyHost(keys, Arc::default())), hosts.clone());
    let expected = Expected {
        audience: "the-app",
        nonce: &Hash::of("n-1"),
        identity: &identity(&hosts, ID).unwrap(),
        issuers: &[HOST, MY_DOMAIN],
        access: &AccessToken::new("00D!AQ"),
    };
    let now = Timestamp::from_second(NOW).unwrap();
    salesforce.check_id_token(&hosts.production(), &token, &expected, now).await
}

/// What refuses a token with this header and these claims, rightly signed.
async fn refuses(header: &Value, claims: &Value) -> &'static str {
    match check_with(json!({ "keys": [jwk()] }), signed_with(&RSA_PKCS1_SHA256, header, claims)).await {
        Err(SalesforceError::Untrusted(Distrust::IdToken(what))) => what,
        Ok(()) => "nothing",
        Err(other) => panic!("{other:?}"),
    }
}

async fn with_claim(name: &str, value: Value) -> &'static str {
    let mut claims = claims();
    claims[name] = value;
    refuses(&header(), &claims).await
}

#[tokio::test]
async fn valid_tokens_are_accepted() {
    assert_eq!(refuses(&header(), &claims()).await, "nothing");
    let at_hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(b"00D!AQ")[..16]);
    for (name, value) in [
        ("aud", json!(["the-app"])),
        ("azp", json!("the-app")),
        ("iss", json!(MY_DOMAIN)),
        ("nbf", json!(NOW)),
        ("exp", json!(1_796_000_060.5)),
        ("at_hash", json!(at_hash)),
        ("never_seen", json!({ "a": [1] })),
    ] {
        assert_eq!(with_claim(name, value.clone()).await, "nothing", "{name} {value}");
    }
}

#[tokio::test]
async fn forged_claims_are_rejected() {
    for (name, value, expected) in [
        ("aud", json!("another-app"), "audience"),
        ("aud", json!(["the-app", "another-app"]), "audience"),
        ("aud", json!([]), "audience"),
        ("aud", json!(null), "audience"),
        ("azp", json!("another-app"), "authorized party"),
        ("iss", json!("https://evil.my.salesforce.com"), "issuer"),
        ("iss", json!("https://login.salesforce.com/"), "issuer"),
        ("iss", json!("https://login.salesforce.com///"), "issuer"),
        ("iss", json!("https://test.salesforce.com"), "issuer"),
        ("iss", json!("http://login.salesforce.com"), "issuer"),
        ("exp", json!(NOW - 181), "time"),
        ("exp", json!(NOW), "time"),
        ("exp", json!(NOW - 180), "time"),
        ("iat", json!(NOW + 181), "time"),
        ("nbf", json!(NOW + 180), "time"),
        ("nbf", json!(NOW + 181), "time"),
        ("nonce", json!("n-2"), "nonce"),
        ("nonce", json!(null), "nonce"),
        ("at_hash", json!("AAAA"), "access token's hash"),
        ("at_hash", json!(""), "access token's hash"),
        ("sub", json!("https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5PAAQ"), "subject"),
        ("sub", json!("https://login.salesforce.com/id/00D50000000IZ4ZEAW/00550000001fg5OAAQ"), "subject"),
        ("sub", json!("https://evil.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ"), "subject"),
        ("sub", json!("00550000001fg5OAAQ"), "subject"),
    ] {
        assert_eq!(with_claim(name, value.clone()).await, expected, "{name} {value}");
    }
    for absent in ["iss", "sub", "aud", "exp", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(absent);
        let expected = "form";
        assert_eq!(refuses(&header(), &claims).await, expected, "without {absent}");
    }
}

#[tokio::test]
async fn forged_headers_are_rejected() {
    for (change, expected) in [
        (json!({ "alg": "none" }), "algorithm"),
        (json!({ "alg": "HS256" }), "algorithm"),
        (json!({ "alg": "RS512" }), "algorithm"),
        (json!({ "alg": null }), "algorithm"),
        (json!({ "crit": ["exp"] }), "critical header fields"),
        (json!({ "crit": [] }), "critical header fields"),
        (json!({ "kid": "k2" }), "key"),
        (json!({ "kid": null }), "key id"),
        (json!({ "kid": 1 }), "key id"),
        (json!({ "kid": "k2", "jwk": jwk() }), "key"),
        (json!({ "kid": "k2", "jku": "https://evil.com/keys" }), "key"),
    ] {
        let mut header = header();
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        assert_eq!(refuses(&header, &claims()).await, expected, "{change}");
    }
}

#[tokio::test]
async fn forged_signatures_are_rejected() {
    let keys = || json!({ "keys": [jwk()] });
    let good = signed_with(&RSA_PKCS1_SHA256, &header(), &claims());
    let (text, signature) = good.expose().rsplit_once('.').unwrap();
    let sha512 = signed_with(&RSA_PKCS1_SHA512, &header(), &claims());
    let other_claims = signed_with(&RSA_PKCS1_SHA256, &header(), &json!({ "iss": HOST }));
    for (forged, expected) in [
        (format!("{text}."), "signature"),
        (text.to_owned(), "form"),
        (format!("{text}.{}", &signature[..signature.len() - 4]), "form"),
        (format!("{}.{signature}", other_claims.expose().rsplit_once('.').unwrap().0), "signature"),
        (sha512.expose().to_owned(), "signature"),
        (String::new(), "form"),
        ("..".to_owned(), "form"),
        ("e30.e30.e30".to_owned(), "algorithm"),
    ] {
        let checked = check_with(keys(), RawIdToken::new(forged.clone())).await;
        assert!(
            matches!(checked, Err(SalesforceError::Untrusted(Distrust::IdToken(what))) if what == expected),
            "{forged}: {checked:?}"
        );
    }
}

#[tokio::test]
async fn hs256_with_the_public_key_is_rejected() {
    use hmac::{Hmac, KeyInit, Mac};
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["HS256", "RS256"] {
        let header = json!({ "alg": algorithm, "kid": "k1" });
        let text = format!("{}.{}", encode(&header), encode(&claims()));
        let mut mac = Hmac::<Sha256>::new_from_slice(jwk()["n"].as_str().unwrap().as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        assert!(check_with(json!({ "keys": [jwk()] }), RawIdToken::new(token)).await.is_err(), "{algorithm}");
    }
}

#[tokio::test]
async fn keys_for_another_purpose_are_not_used() {
    let token = || signed_with(&RSA_PKCS1_SHA256, &header(), &claims());
    for (name, value, is_used) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("alg", json!("RS512"), false),
        ("alg", json!("RS256"), true),
    ] {
        let mut key = jwk();
        key[name] = value.clone();
        let checked = check_with(json!({ "keys": [key] }), token()).await;
        assert_eq!(checked.is_ok(), is_used, "{name} {value}: {checked:?}");
    }
    let secret = json!({ "kty": "oct", "kid": "k1", "k": "AAAA" });
    assert!(check_with(json!({ "keys": [secret] }), token()).await.is_err());
    let mut plain = jwk();
    plain.as_object_mut().unwrap().retain(|name, _| name != "use" && name != "alg");
    assert!(check_with(json!({ "keys": [plain] }), token()).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_again_once_they_are_old() {
    let (hosts, asked) = (Hosts::salesforce(), Arc::<AtomicUsize>::default());
    let salesforce = Salesforce::new(
        Http::through(KeyHost(json!({ "keys": [jwk()] }), Arc::clone(&asked))),
        hosts.clone(),
    );
    let start = Timestamp::from_second(NOW).unwrap();
    let mut fetches = Vec::new();
    for hours in [0, 1, 23, 24, 25, 47, 49] {
        let now = start + SignedDuration::from_hours(hours);
        salesforce.key(&hosts.production(), "k1", now).await.unwrap().unwrap();
        fetches.push(asked.load(Ordering::SeqCst));
    }
    assert_eq!(fetches, [1, 1, 1, 2, 2, 2, 3]);
    assert!(salesforce.key(&hosts.production(), "k2", start).await.unwrap().is_none());
}

/// At the very end of the allowed difference, a time counts as too early or too late.
#[tokio::test]
async fn difference_of_clocks_ends_at_its_limit() {
    for (iat, expected) in [(NOW + 179, "nothing"), (NOW + 180, "time")] {
        let mut claims = claims();
        claims["exp"] = json!(NOW + 600);
        claims["iat"] = json!(iat);
        assert_eq!(refuses(&header(), &claims).await, expected, "{iat}");
    }
}

#[tokio::test]
async fn fetched_keys_check_a_token_without_the_network() {
    let (hosts, asked) = (Hosts::salesforce(), Arc::<AtomicUsize>::default());
    let keys = json!({ "keys": [jwk()] });
    let salesforce = Salesforce::new(Http::through(KeyHost(keys, Arc::clone(&asked))), hosts.clone());
    let expected = Expected {
        audience: "the-app",
        nonce: &Hash::of("n-1"),
        identity: &identity(&hosts, ID).unwrap(),
        issuers: &[HOST],
        access: &AccessToken::new("00D!AQ"),
    };
    let (host, now) = (hosts.production(), Timestamp::from_second(NOW).unwrap());
    let token = signed_with(&RSA_PKCS1_SHA256, &header(), &claims());
    let held = || salesforce.check_id_token_with_held_keys(&host, &token, &expected, now);
    assert_eq!(held(), Ok(false), "its key is not held");
    for _ in 0..2 {
        salesforce.fetch_keys(&host, now, ANSWER).await.unwrap();
        assert_eq!(held(), Ok(true));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// After a redirect any org's My Domain may have answered. Only the session's login host and the org's own count.
#[tokio::test]
async fn host_that_answered_is_no_issuer_by_that() {
    let hosts = Hosts::salesforce();
    let keys = json!({ "keys": [jwk()] });
    let salesforce = Salesforce::new(Http::through(KeyHost(keys, Arc::default())), hosts.clone());
    let expected = Expected {
        audience: "the-app",
        nonce: &Hash::of("n-1"),
        identity: &identity(&hosts, ID).unwrap(),
        issuers: &[MY_DOMAIN],
        access: &AccessToken::new("00D!AQ"),
    };
    let now = Timestamp::from_second(NOW).unwrap();
    // Its `iss` is the host that answered, whose keys also sign it.
    let token = signed_with(&RSA_PKCS1_SHA256, &header(), &claims());
    let checked = salesforce.check_id_token(&hosts.production(), &token, &expected, now).await;
    assert!(matches!(checked, Err(SalesforceError::Untrusted(Distrust::IdToken("issuer")))), "{checked:?}");
}

#[test]
fn issuer_is_what_the_token_says() {
    let token = signed_with(&RSA_PKCS1_SHA256, &header(), &claims());
    assert_eq!(issuer(&token).as_deref(), Some(HOST));
    assert_eq!(issuer(&RawIdToken::new("a.b.c")), None);
}
