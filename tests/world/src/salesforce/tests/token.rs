//! The code exchange, and what a token tells about its bearer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use sha2::Sha256;

use super::{super::*, *};

#[tokio::test]
async fn an_exchange_gives_what_salesforce_gives() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let org = stage.salesforce.org("acme");
    let user = org.user("uma@acme.example").expect("uma");

    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "api refresh_token openid id");
    assert_eq!(tokens["instance_url"], stage.salesforce.my_domain("acme"));
    assert_eq!(tokens["id"], format!("{}/id/{}/{}", stage.salesforce.login_origin(), org.id, user.id));
    assert_eq!(tokens["issued_at"], "1795348800000");
    assert!(tokens.get("expires_in").is_none());
    assert!(text(&tokens, "access_token").starts_with(&format!("{}!AQ", &org.id[..15])));

    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{}{}", text(&tokens, "id"), text(&tokens, "issued_at")).as_bytes());
    let signature = STANDARD.decode(text(&tokens, "signature")).expect("base64");
    mac.verify_slice(&signature).expect("the signature of id and issued_at");
}

#[tokio::test]
async fn an_id_token_verifies_against_the_published_keys() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let origin = stage.salesforce.my_domain("acme");
    let (_, discovery) = stage.api(&format!("{origin}/.well-known/openid-configuration"), "none").await;
    let (_, keys) = stage.api(text(&discovery, "jwks_uri"), "none").await;
    let keys: JwkSet = serde_json::from_value(keys).expect("a key set");

    let mut expected = Validation::new(Algorithm::RS256);
    expected.set_audience(&[KEY]);
    expected.set_issuer(&[text(&discovery, "issuer")]);
    expected.validate_exp = false;
    let key = DecodingKey::from_jwk(&keys.keys[0]).expect("an RSA key");
    let claims =
        jsonwebtoken::decode::<Value>(text(&tokens, "id_token"), &key, &expected).expect("valid").claims;

    assert_eq!(claims["iss"], origin);
    assert_eq!(claims["sub"], tokens["id"]);
    assert_eq!(claims["nonce"], "n-1");
    assert_eq!(claims["iat"], 1_795_348_800);
    assert!(claims["exp"].as_i64() > claims["iat"].as_i64());
}

#[tokio::test]
async fn a_code_works_once_and_not_for_long() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let dead = (400, "invalid_grant", "expired authorization code");

    let code = stage.code("acme", "uma@acme.example", KEY).await;
    assert_eq!(stage.exchange("acme", &code).await.0, StatusCode::OK);
    assert_eq!(error(&stage.exchange("acme", &code).await), dead);

    let code = stage.code("acme", "uma@acme.example", KEY).await;
    stage.salesforce.pass(CODE_LIFETIME);
    assert_eq!(error(&stage.exchange("acme", &code).await), dead);
    assert_eq!(error(&stage.exchange("acme", "made-up").await), dead);
}

#[tokio::test]
async fn what_is_wrong_with_an_exchange_is_told_exactly() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let code = stage.code("acme", "uma@acme.example", KEY).await;
    let with = |name: &'static str, value: &'static str| {
        exchange_form(&code).map(|(key, kept)| (key, if key == name { value } else { kept }))
    };
    for (name, value, expected) in [
        ("client_id", "nobody", ("invalid_client_id", "client identifier invalid")),
        ("client_secret", "stale", ("invalid_client", "invalid client credentials")),
        ("client_secret", "", ("invalid_client", "invalid client credentials")),
        ("grant_type", "password", ("unsupported_grant_type", "grant type not supported")),
        (
            "redirect_uri",
            "http://elsewhere",
            ("redirect_uri_mismatch", "redirect_uri must match configuration"),
        ),
        ("code_verifier", "wrong", ("invalid_grant", "invalid code verifier")),
        // The verifier's failure has spent the code.
        ("code", "", ("invalid_grant", "expired authorization code")),
    ] {
        let answer = stage.token("acme", &with(name, value)).await;
        assert_eq!(error(&answer), (400, expected.0, expected.1), "{name}={value}");
    }
    assert_eq!(
        error(&stage.exchange("acme", &code).await),
        (400, "invalid_grant", "expired authorization code")
    );
}

#[tokio::test]
async fn a_code_is_exchanged_where_its_org_is_served() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let code = stage.code("acme", "uma@acme.example", KEY).await;

    let answer = stage.exchange("globex", &code).await;
    assert_eq!(error(&answer), (400, "invalid_grant", "authentication failure"));
    let login = format!("{}{TOKEN_PATH}", stage.salesforce.login_origin());
    let answer = stage.post(&login, &exchange_form(&code)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn credentials_may_stand_in_the_header() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let code = stage.code("acme", "uma@acme.example", KEY).await;
    let form: Vec<_> =
        exchange_form(&code).into_iter().filter(|(name, _)| !name.starts_with("client_")).collect();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = format!("{}{TOKEN_PATH}", stage.salesforce.my_domain("acme"));
    let request = |secret| stage.http.post(&url).basic_auth(KEY, Some(secret)).body(body.clone());

    assert_eq!(request("wrong").send().await.expect("an answer").status(), StatusCode::BAD_REQUEST);
    assert_eq!(request(SECRET).send().await.expect("an answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn introspection_tells_when_a_token_ends() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let url = format!("{}/services/oauth2/introspect", stage.salesforce.my_domain("acme"));
    let ask = async |token: &str| {
        let answer =
            stage.post(&url, &[("token", token), ("client_id", KEY), ("client_secret", SECRET)]).await;
        serde_json::from_str::<Value>(&answer.text).expect("JSON")
    };

    let told = ask(text(&tokens, "access_token")).await;
    assert_eq!(told["active"], true);
    assert_eq!(told["username"], "uma@acme.example");
    assert_eq!(told["sub"], tokens["id"]);
    assert_eq!(told["exp"].as_i64().zip(told["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(7200));
    assert_eq!(ask(text(&tokens, "refresh_token")).await["token_type"], "refresh_token");

    stage.salesforce.pass(SignedDuration::from_hours(2));
    assert_eq!(ask(text(&tokens, "access_token")).await, serde_json::json!({ "active": false }));
    let stranger = stage.post(&url, &[("token", "x"), ("client_id", KEY), ("client_secret", "wrong")]).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens_too() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let origin = stage.salesforce.my_domain("acme");
    let query = format!("{origin}/services/data/v62.0/query?q=SELECT+Id+FROM+Account");
    let revoke = async |token: &str| {
        stage.post(&format!("{origin}/services/oauth2/revoke"), &[("token", token)]).await
    };

    let (_, renewed) = stage.refresh("acme", text(&tokens, "refresh_token")).await;
    assert_eq!(revoke(text(&tokens, "access_token")).await.status, StatusCode::OK);
    assert_eq!(stage.api(&query, text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.api(&query, text(&renewed, "access_token")).await.0, StatusCode::OK);

    assert_eq!(revoke(text(&renewed, "refresh_token")).await.status, StatusCode::OK);
    assert_eq!(stage.api(&query, text(&renewed, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.salesforce.grants()[0].ended, Some(Ending::Revoked));
    let again = revoke(text(&renewed, "refresh_token")).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.text.contains("invalid_token"));
}

#[tokio::test]
async fn identity_and_userinfo_know_the_bearer() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let access_token = text(&tokens, "access_token");
    let userinfo = format!("{}/services/oauth2/userinfo", stage.salesforce.my_domain("acme"));

    let (status, who) = stage.api(text(&tokens, "id"), access_token).await;
    assert_eq!((status, &who["username"]), (StatusCode::OK, &"uma@acme.example".into()));
    assert_eq!(who["organization_id"], stage.salesforce.org("acme").id);
    let (status, who) = stage.api(&userinfo, access_token).await;
    assert_eq!((status, &who["sub"]), (StatusCode::OK, &tokens["id"]));

    for (url, token) in [(text(&tokens, "id"), "dead"), (&userinfo, "dead")] {
        assert_eq!(stage.api(url, token).await, (StatusCode::FORBIDDEN, "Bad_OAuth_Token".into()));
    }
    let elsewhere = format!("{}/services/oauth2/userinfo", stage.salesforce.my_domain("globex"));
    assert_eq!(stage.api(&elsewhere, access_token).await.0, StatusCode::FORBIDDEN);
}
