//! Tokens at rest: what a sealed value opens for, and which keyrings are refused.

use store::{Sealed, SecretError};

use super::*;

/// Sealed under [`Stage::start`]'s keyring for [`owned`] by Python's `cryptography`, from the description of the format alone.
const SEALED: [(Field, &str, &str); 3] = [
    (Field::AccessToken, "an access token", "v1.AAECAwQFBgcICQoLhttv8DDAKYQVdzVaTM+uYsgq9ItEnKEysYl0yrUHrA"),
    (Field::RefreshToken, "a refresh token", "v1.AQIDBAUGBwgJCgsMfjBR/AHtb23PbWZ//DNyFh31pTgTne6u7Qoh+WMGWA"),
    (Field::Answer, "a whole answer", "v1.AgMEBQYHCAkKCwwN22HSKnT4qRHkvvY5ENBXKBlSR98l0qEzawMeLnkJ"),
];

fn owned() -> (domain::ProductId, ConnectionId) {
    ("fernway".parse().expect("an id"), "con_01k00000000000000000000000".parse().expect("an id"))
}

fn sealed(text: &str) -> Sealed {
    serde_json::from_value(json!(text)).expect("a text")
}

fn why(error: &SecretError) -> &'static str {
    match error {
        SecretError::Sealed { why, .. } => why,
        SecretError::Malformed { what, .. } => what,
        SecretError::Unreadable { .. } => "unreadable",
    }
}

#[tokio::test]
async fn value_that_another_program_sealed_opens_for_its_owner_and_field_alone() {
    let stage = Stage::start().await;
    let (product, connection) = owned();
    let other = ConnectionId::mint(stage.now);
    let tidewater = "tidewater".parse().expect("an id");
    let owner = Owner { product: &product, connection: &connection };
    for (field, text, value) in SEALED {
        let opened = stage.cipher.open(owner, field, &sealed(value)).await.expect("it opens");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), text);

        let others = [
            Owner { product: &tidewater, connection: &connection },
            Owner { product: &product, connection: &other },
        ];
        for other in others {
            let refused = stage.cipher.open(other, field, &sealed(value)).await.expect_err("another's");
            assert_eq!(why(&refused), "it was sealed for something else, or changed");
        }
        for (other, _, _) in SEALED.iter().filter(|(other, ..)| *other != field) {
            assert!(
                stage.cipher.open(owner, *other, &sealed(value)).await.is_err(),
                "{field:?} as {other:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_sealed_opens_again_and_is_never_the_same_twice() {
    let stage = Stage::start().await;
    let (product, connection) = owned();
    let owner = Owner { product: &product, connection: &connection };
    let one = stage.cipher.seal(owner, Field::RefreshToken, "a token").await.expect("sealed");
    let two = stage.cipher.seal(owner, Field::RefreshToken, "a token").await.expect("sealed");
    assert_ne!(one, two, "the nonce is new each time");
    for value in [one, two] {
        let opened = stage.cipher.open(owner, Field::RefreshToken, &value).await.expect("it opens");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), "a token");
    }
}

#[tokio::test]
async fn value_that_is_damaged_or_of_an_unknown_key_says_why_it_does_not_open() {
    let stage = Stage::start().await;
    let (product, connection) = owned();
    let owner = Owner { product: &product, connection: &connection };
    let (field, _, whole) = SEALED[0];
    for (value, expected) in [
        (whole.replacen("v1.", "", 1), "it has no key version"),
        (whole.replacen("v1.", "v2.", 1), "its key version is not in the keyring"),
        (format!("{whole}!"), "it is not base64"),
        ("v1.AAECAw".to_owned(), "it is too short"),
        (whole.replacen("AAEC", "AAED", 1), "it was sealed for something else, or changed"),
    ] {
        let refused = stage.cipher.open(owner, field, &sealed(&value)).await.expect_err(&value);
        assert_eq!(why(&refused), expected, "{value}");
    }
}

#[tokio::test]
async fn keyring_that_could_not_keep_a_secret_is_refused_with_what_is_wrong() {
    for (keyring, expected) in [
        (json!({ "current": "v1", "v1": "k".repeat(43) }), None),
        (json!({ "current": "v1", "v1": "k".repeat(64), "v2": "k".repeat(43) }), None),
        (json!({ "current": "v1", "v1": "k".repeat(42) }), Some("every key needs at least 43 characters")),
        (
            json!({ "current": "v2", "v1": "", "v2": "k".repeat(64) }),
            Some("every key needs at least 43 characters"),
        ),
        (json!({ "current": "v.1", "v.1": "k".repeat(64) }), Some("a key version has no dot in it")),
        (
            json!({ "current": "v2", "v1": "k".repeat(64) }),
            Some(r#"its "current" names a key that is not in it"#),
        ),
        (json!({ "v1": "k".repeat(64) }), Some(r#"its "current" names no key"#)),
        (json!(["v1"]), Some(r#"expected a keyring: {"current":"v1","v1":"<key>"}"#)),
    ] {
        let stage = Stage::start().await;
        stage.secrets.put(KEYRING, &keyring.to_string());
        let ready = stage.cipher.ready().await;
        assert_eq!(ready.as_ref().err().map(why), expected, "{keyring}");
        let (product, connection) = owned();
        let owner = Owner { product: &product, connection: &connection };
        let sealed = stage.cipher.seal(owner, Field::Answer, "an answer").await;
        assert_eq!(sealed.is_ok(), expected.is_none(), "{keyring}");
    }
}
