//! What a well-formed value of a product file must be to make sense. Each function returns what is wrong, for a person.

use super::secret_value::looks_like_a_value;
use domain::text::{deceptive_in_id, deceptive_in_name};

/// Salesforce's OAuth scopes: `scopes_supported` of login.salesforce.com's and of other orgs'
/// `/.well-known/openid-configuration`, and Salesforce Help, "OAuth Tokens and Scopes" (read in November 2026). Salesforce
/// adds scopes, and orgs have custom ones, so a name that is not here is a warning and no error.
const SCOPES: [&str; 36] = [
    "address",
    "api",
    "cdp_api",
    "cdp_calculated_insight_api",
    "cdp_identityresolution_api",
    "cdp_ingest_api",
    "cdp_profile_api",
    "cdp_query_api",
    "cdp_segment_api",
    "chatbot_api",
    "chatter_api",
    "content",
    "custom_permissions",
    "data_cloud_user_claims",
    "eclair_api",
    "einstein_gpt_api",
    "email",
    "forgot_password",
    "full",
    "id",
    "interaction_api",
    "lightning",
    "mcp_api",
    "offline_access",
    "openid",
    "pardot_api",
    "phone",
    "profile",
    "pwdless_login_api",
    "refresh_token",
    "scrt_api",
    "sfap_api",
    "user_registration_api",
    "visualforce",
    "wave_api",
    "web",
];

/// Maximum bytes of a product's item. DynamoDB's limit is 400 kB, with the names of the attributes.
pub(super) const MAX_ITEM: usize = 390 * 1024;

/// A value that is sent or compared as it stands: a consumer key, the name of a secret.
pub(super) fn token(text: &str) -> Option<String> {
    if let Some(c) = deceptive_in_id(text) {
        return Some(invisible(c));
    }
    if text.contains(char::is_whitespace) {
        return Some("it has a space in it".into());
    }
    text.chars()
        .find(|c| !c.is_ascii())
        .map(|c| format!("it has the character {c} (U+{:04X}) in it", u32::from(c)))
}

/// A text for people.
pub(super) fn name(text: &str) -> Option<String> {
    if let Some(c) = deceptive_in_name(text) {
        return Some(invisible(c));
    }
    (text.trim() != text).then(|| "it begins or ends with a space".into())
}

fn invisible(c: char) -> String {
    format!(
        "it has an invisible character (U+{:04X}) in it; type the value instead of pasting it",
        u32::from(c)
    )
}

/// The name of a secret, where its value may stand instead. The text is not repeated: it may be that value.
pub(super) fn secret_name(name: &str) -> Option<String> {
    if name.starts_with("3MVG") {
        return Some(
            "this looks like a consumer key, not the name of the consumer secret in Secrets Manager".into(),
        );
    }
    if looks_like_a_value(name) {
        let what = "this looks like the secret itself, not its name in Secrets Manager. Replace the consumer secret at \
                    Salesforce, since this file has it, and store the new one with `latchkey app set-secret`. If it is the \
                    name, give the secret's ARN instead";
        return Some(what.into());
    }
    if name.starts_with("arn:") && !is_arn_of_secret(name) {
        let what = "this ARN is not that of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";
        return Some(what.into());
    }
    let of_a_name = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&b);
    (!name.bytes().all(of_a_name))
        .then(|| "a secret's name has letters, digits and /_+=.@- only, or is an ARN".to_owned())
}

/// Whether a name that begins like an ARN is the ARN of a secret.
fn is_arn_of_secret(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    matches!(parts[..], ["arn", _, "secretsmanager", region, account, "secret", name]
        if !region.is_empty() && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty())
}

/// A consumer key, where the consumer secret may stand instead: the two are beside each other in Setup. A template that
/// nothing filled in, quotation marks, an address or an ARN is none either.
pub(super) fn consumer_key(key: &str) -> Option<String> {
    let is_hex = key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = (10..=20).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_digit());
    let what = "this looks like the consumer secret, not the consumer key. Replace the secret at Salesforce, since this \
                file has it";
    if is_hex || is_number {
        return Some(what.into());
    }
    let is_of_key = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!key.bytes().all(is_of_key)).then(|| {
        "a consumer key has letters, digits and ._- only: copy it from Setup, and fill in a template before it is applied"
            .into()
    })
}

/// The first text that is there twice.
pub(super) fn listed_twice(texts: &[String]) -> Option<&str> {
    let twice = |(at, text): (usize, &String)| texts[..at].contains(text);
    let mut all = texts.iter().enumerate();
    all.find(|found| twice(*found)).map(|(_, text)| text.as_str())
}

/// Why a scope may be one that Salesforce does not have; `None`: it is known.
pub(super) fn unknown_scope(scope: &str) -> Option<String> {
    (!SCOPES.contains(&scope)).then(|| {
        format!(
            "warning: scope {scope:?} is not one that this version knows. If Salesforce does not have it, every connect fails with \
             invalid_scope. Known: {}",
            SCOPES.join(", ")
        )
    })
}

/// One scope: what is wrong with it, whatever scopes Salesforce may add.
pub(super) fn scope(scope: &str) -> Option<String> {
    if SCOPES.contains(&scope) {
        return None;
    }
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let meant = SCOPES.iter().find(|known| plain(known) == plain(scope));
    // RFC 6749 §3.3: printable ASCII but for quotation marks and backslashes.
    let is_scope = |b: u8| b.is_ascii_graphic() && !b"\"\\,;".contains(&b);
    match meant {
        Some(known) => Some(format!("{scope:?} is written {known}")),
        None if scope.is_empty() || !scope.bytes().all(is_scope) => {
            Some("each scope is a text of its own, without spaces or commas".into())
        }
        None => None,
    }
}

/// An address: a wildcard or a template matches nothing, since addresses are compared as they are.
pub(super) fn address(address: &str) -> Option<String> {
    if let Some(c) = deceptive_in_id(address) {
        return Some(invisible(c));
    }
    if address.contains('*') || address.to_ascii_lowercase().contains("%2a") {
        return Some("wildcards match nothing: write out each address".into());
    }
    if address.contains(['{', '}', '<', '>'])
        || ["%7b", "%7d"].iter().any(|brace| address.to_ascii_lowercase().contains(brace))
    {
        return Some("templates match nothing: write out each address".into());
    }
    address.contains(char::is_whitespace).then(|| "it has a space in it".into())
}

/// An e-mail address.
pub(super) fn email(email: &str) -> Option<String> {
    if email.to_ascii_lowercase().starts_with("mailto:") {
        return Some("leave out mailto: the pages add it".into());
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && label.trim_matches('-') == label
    };
    let parts = email.split_once('@').filter(|(name, host)| {
        !name.is_empty() && host.split('.').count() > 1 && host.split('.').all(is_label)
    });
    let is_plain = token(email).is_none()
        && !email.contains([':', '<', '>', ',', ';', '?', '"', '(', ')', '*', '{', '}', '[', ']', '%', '\\']);
    (parts.is_none() || !is_plain).then(|| "not an e-mail address".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_value_is_told_from_a_name() {
        for value in [
            "8F3A1C77E0D24B1F9E0C7B6A5D4E3F2A1B0C9D8E7F6A5B4C3D2E1F0A9B8C7D6E",
            "8f3a1c77e0d24b1f9e0c7b6a5d4e3f2a",
            "1234567890123456789",
            "q7Jx2mVb9RtK4sLw8ZpN6cHd",
            "q7Jx2m/b9RtK4sLw+ZpN6cHd==",
            "4f9XbQ/2mT7c+Zk1Rw8Yp0Ls3Vd6Hj5Gn9Ae2Ui7Oq4=",
            "q7Jx-2mVb_9RtK.4sLw-8ZpN-6cHd",
            "550e8400-e29b-41d4-a716-446655440000",
            "5Aep861TSESvWeug_xvFHRBTTbf.YrTWgEyjYxFhcPrZJcRuYfnjcZGo",
            "dev/8f3a1c77e0d24b1f9e0c7b6a5d4e3f2a",
        ] {
            let what = secret_name(value).expect(value);
            assert!(what.contains("the secret itself") && !what.contains(value), "{what}");
        }
        for name in [
            "latchkey/dev/apps/fernway-sync",
            "prod-2026-fernway",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:latchkey/prod/apps/sync-AbCdEf",
            "fernwaySalesforceConsumerSecretForSync",
            "fernwaySalesforceSecret2026",
            "FERNWAY_SALESFORCE_SECRET_2026",
            "Fernway2026Q4SalesforceAppSecret",
            "fernway/eu-west-1/k8s/sf-v2/app-1",
            "salesforceoauth2production2026",
            "latchkey/550e8400-e29b-41d4-a716-446655440000",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:q7Jx2mVb9RtK4sLw8ZpN6cHd-AbCdEf",
            "a",
        ] {
            assert_eq!(secret_name(name), None, "{name}");
        }
        assert!(secret_name("fernway secret").is_some());
        for other in [
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::123456789012:role/fernway",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
            "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "arn:aws:kms:eu-west-1:123456789012:key/fernway",
            "arn:",
        ] {
            assert!(secret_name(other).is_some_and(|what| what.contains("not that of a secret")), "{other}");
        }
    }

    #[test]
    fn consumer_key_has_the_characters_of_one() {
        for bad in [
            "${CONSUMER_KEY}",
            "{{ck}}",
            "<consumer-key>",
            "'3MVG9Fernway.Sync'",
            "\"3MVG9Fernway.Sync\"",
            "3MVG9Fernway.Sync,",
            "https://login.salesforce.com/",
            "uma@acme.example",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
            "$CONSUMER_KEY",
            "%CONSUMER_KEY%",
            "3MVG9Fernway=",
        ] {
            assert!(consumer_key(bad).is_some_and(|what| what.contains("letters, digits")), "{bad}");
        }
        assert_eq!(consumer_key("3MVG9FernwaySyncConsumerKey.Zx81_kQ0-aBc"), None);
    }

    #[test]
    fn scopes_are_salesforces_own_in_their_case() {
        for (given, says) in [
            ("API", "is written api"),
            ("RefreshToken", "is written refresh_token"),
            ("api refresh_token", "without spaces"),
            ("", "without spaces"),
            ("api,web", "without spaces"),
            ("a\u{430}pi", "is written api"),
        ] {
            assert!(scope(given).is_some_and(|what| what.contains(says)), "{given}");
        }
        for may_be_new in ["agent_api", "everything", "myns.orders:read"] {
            assert_eq!(scope(may_be_new), None, "{may_be_new}");
            assert!(unknown_scope(may_be_new).is_some_and(|what| what.contains(may_be_new)));
        }
        assert!(SCOPES.iter().all(|known| unknown_scope(known).is_none()));
        assert!(SCOPES.is_sorted() && SCOPES.iter().all(|known| scope(known).is_none()));
    }

    #[test]
    fn addresses_and_texts_are_plain() {
        for bad in [
            "mailto:help@acme.example",
            "MAILTO:a@b.example",
            "help",
            "a@b",
            "a@b..example",
            "a b@c.example",
            "A <a@b.example>",
            "a@b@c.example",
            "help@*.acme.example",
            "*@acme.example",
            "help@{tenant}.acme.example",
            "help@-acme.example",
        ] {
            assert!(email(bad).is_some(), "{bad}");
        }
        assert_eq!(email("help+sf@acme.example"), None);
        for bad in [
            "https://*.acme.example/back",
            "https://acme.example/%2Aback",
            "https://{tenant}.acme.example/back",
            "https://acme.example/{tenant}/back",
            "https://acme.example/%7Btenant%7D/back",
            "https://acme.example/<tenant>/back",
        ] {
            assert!(address(bad).is_some_and(|what| what.contains("match nothing")), "{bad}");
        }
        assert!(
            token("3MVG9\u{200b}").is_some() && token(" 3MVG9").is_some() && token("3MVG9\u{430}").is_some()
        );
        assert!(
            name("Fern\u{202e}way").is_some() && name("Fernway ").is_some() && name("Fernwäy ☕").is_none()
        );
        for unseen in ["\u{200c}", "\u{200d}", "Fernway\u{200d}", "\u{2800}"] {
            assert!(name(unseen).is_some_and(|what| what.contains("invisible")), "{unseen:?}");
        }
    }
}
