//! Which names of fields, elements, headers and variables name a secret.
//!
//! A name is split into words: `clientSecretValue`, `SF_PASSWORD_PROD`, `password2`, `user[password_confirmation]`. A word
//! that means a secret counts wherever it is. The last word decides what the name is about: `token_type` and
//! `password_policy` name no secret.

use std::sync::LazyLock;

use super::labels::PASSWORDS;

/// What kind of secret a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// A password. Any word may be one.
    Password,
    /// A token, a key or a session id.
    Token,
    /// A word that also means harmless things, such as "code", "state" and "answer".
    Ambiguous,
}

/// Parts of a name that mean a password, even inside a longer word.
const PASSWORD_PARTS: [&str; 5] = ["password", "passwd", "passphrase", "passcode", "securityanswer"];

/// Words of a name that mean a password.
const PASSWORD_WORDS: [&str; 7] = ["pw", "psw", "pass", "pwd", "pswd", "passwrd", "userpw"];

/// Parts of a name that mean another secret, even inside a longer word.
const TOKEN_PARTS: [&str; 24] = [
    "token",
    "secret",
    "sessionid",
    "sessid",
    "sfdcsession",
    "sforcesession",
    "assertion",
    "samlresponse",
    "samlrequest",
    "authorization",
    "cookie",
    "apikey",
    "authkey",
    "privatekey",
    "secretkey",
    "accesskey",
    "encryptionkey",
    "recoverykey",
    "signingkey",
    "credential",
    "signature",
    "verifier",
    "viewstatemac",
    "refreshtok",
];

/// Words of a name that mean another secret.
const TOKEN_WORDS: [&str; 13] =
    ["sid", "otp", "totp", "nonce", "csrf", "xsrf", "jwt", "bearer", "mfa", "apikey", "emc", "smc", "hmac"];

/// Words that mean a secret only at the end of a name.
const LAST: [&str; 9] = ["code", "state", "challenge", "source", "answer", "receipt", "tc", "auth", "pin"];

/// What a name may end with, without a border between words: `authcode`, `JSESSIONSID`, `dbpass`.
const ENDINGS: [&str; 11] =
    ["code", "state", "sid", "otp", "pwd", "pswd", "pass", "csrf", "xsrf", "challenge", "newpw"];

/// Words that end so and mean something else.
const NOT_ENDINGS: [&str; 22] = [
    "bypass",
    "compass",
    "encompass",
    "overpass",
    "trespass",
    "surpass",
    "errorcode",
    "statuscode",
    "exceptioncode",
    "responsecode",
    "countrycode",
    "languagecode",
    "currencycode",
    "zipcode",
    "postcode",
    "postalcode",
    "areacode",
    "unicode",
    "barcode",
    "encode",
    "decode",
    "opcode",
];

/// Words before "code" that make an ordinary number or abbreviation of it.
const CODES: [&str; 22] = [
    "error",
    "err",
    "statu",
    "http",
    "response",
    "exception",
    "exit",
    "fault",
    "result",
    "reason",
    "return",
    "country",
    "language",
    "currency",
    "zip",
    "postal",
    "area",
    "locale",
    "source",
    "event",
    "sub",
    "state",
];

/// Words before "key" that make a secret of it.
const KEYS: [&str; 18] = [
    "api",
    "auth",
    "private",
    "secret",
    "access",
    "encryption",
    "decryption",
    "recovery",
    "signing",
    "session",
    "master",
    "shared",
    "ssh",
    "rsa",
    "aes",
    "account",
    "security",
    "service",
];

/// Last words of names that say something about a secret and do not hold it.
const HARMLESS: [&str; 52] = [
    "type",
    "endpoint",
    "url",
    "uri",
    "link",
    "expire",
    "expired",
    "expiry",
    "expiration",
    "expiring",
    "policy",
    "policie",
    "count",
    "limit",
    "length",
    "error",
    "method",
    "name",
    "format",
    "issuer",
    "lifetime",
    "ttl",
    "age",
    "enabled",
    "disabled",
    "required",
    "at",
    "date",
    "message",
    "description",
    "reason",
    "version",
    "algorithm",
    "alg",
    "scheme",
    "valid",
    "invalid",
    "missing",
    "only",
    "less",
    "flow",
    "audience",
    "scope",
    "provider",
    "usage",
    "present",
    "through",
    "rate",
    "complexity",
    "strength",
    "history",
    "statu",
];

/// Whether a field, an element or a header of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    secret_of(name).is_some()
}

/// What kind of secret a field, an element or a header of this name holds, if it holds one.
pub(super) fn secret_of(name: &str) -> Option<Secret> {
    let words = words(name);
    let last = words.last()?;
    if HARMLESS.contains(&last.as_str()) || words.iter().any(|word| is_other_word(word)) {
        return None;
    }
    let whole = words.concat();
    let any = |of: &[&str]| words.iter().any(|word| of.contains(&word.as_str()));
    let part = |of: &[&str]| of.iter().any(|part| whole.contains(part));
    let ends = |ending: &str| last.ends_with(ending) && !NOT_ENDINGS.contains(&last.as_str());
    if part(&PASSWORD_PARTS) || any(&PASSWORD_WORDS) || is_foreign(&words, &whole) {
        return Some(Secret::Password);
    }
    if ["pwd", "pswd", "pass", "newpw"].into_iter().any(ends) || last == "oldpw" {
        return Some(Secret::Password);
    }
    let is_key = |pair: &[String]| pair[1] == "key" && KEYS.contains(&pair[0].as_str());
    if part(&TOKEN_PARTS) || any(&TOKEN_WORDS) || words.windows(2).any(is_key) {
        return Some(Secret::Token);
    }
    if last == "code" && words.len() > 1 && CODES.contains(&words[words.len() - 2].as_str()) {
        return None;
    }
    (LAST.contains(&last.as_str()) || ENDINGS.into_iter().any(ends)).then_some(Secret::Ambiguous)
}

/// Whether the words behind a label say that its value is no secret: "policy", "reset link", "expires in".
pub(super) fn is_harmless_word(word: &str) -> bool {
    HARMLESS.contains(&singular(word)) || MORE_HARMLESS.contains(&word)
}

/// Words of prose that say something about a secret.
const MORE_HARMLESS: [&str; 20] = [
    "reset", "change", "changed", "expires", "in", "page", "field", "error", "failed", "failure", "retries",
    "attempts", "days", "minimum", "maximum", "last", "never", "flow", "grant", "rotation",
];

/// Words that contain the name of a secret and mean something else.
fn is_other_word(word: &str) -> bool {
    word.starts_with("secretar") || word.starts_with("tokeni") || word == "passwordless"
}

/// The letters of the passwords' names in all languages, and whether one is too short to be looked for in other words.
static FOREIGN: LazyLock<Vec<(String, bool)>> = LazyLock::new(|| {
    /// Minimum bytes of a label that is no part of other words.
    const LONG: usize = 7;
    let letters = |label: &str| label.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    PASSWORDS.iter().map(|label| (letters(label), label.len() < LONG)).collect()
});

/// Whether a name has a password's name in another language.
fn is_foreign(words: &[String], whole: &str) -> bool {
    FOREIGN.iter().any(|(label, is_short)| {
        if *is_short { words.iter().any(|word| word == label) } else { whole.contains(label.as_str()) }
    })
}

/// The words of a name in lower case and in the singular. Digits and signs are borders, and so is a capital letter.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let is_capital = c.is_uppercase()
            && (before.is_lowercase()
                || (before.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase())));
        if !c.is_alphabetic() || is_capital {
            push(&mut words, &mut word);
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    push(&mut words, &mut word);
    words
}

fn push(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(singular(word).to_owned());
        word.clear();
    }
}

fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(one) if word.len() > 3 && !one.ends_with('s') => one,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_secret_anywhere_are_secret() {
        for name in [
            "password_confirmation",
            "user[password_confirmation]",
            "passwordVerify",
            "password1",
            "newpw2",
            "pw2",
            "pwd1",
            "userPasswordHash",
            "SF_PASSWORD_PROD",
            "CLIENT_SECRET_PROD",
            "SALESFORCE_TOKEN_UAT",
            "client_secret_2",
            "clientSecretValue",
            "refresh_token_old",
            "refreshTokenEncrypted",
            "my_token_id",
            "sid2",
            "sid_Client",
            "api_key_prod",
            "X-Auth-Key",
            "auth",
            "_csrf2",
            "code_verifier_s256",
            "dbPass",
            "smtppass",
            "ctl00$txtPassword",
            "passwordField",
            "encryption.key",
            "authCode",
            "RelayState",
            "JSESSIONID",
            "X-API-Keys",
            "contraseña_nueva",
            "motDePasse",
            "neuesPasswort2",
            "wachtwoord1",
            "senhaAtual",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_about_a_secret_hold_none() {
        for name in [
            "token_type",
            "token_endpoint",
            "tokenUrl",
            "access_token_expires_at",
            "error_code",
            "errorCode",
            "status_code",
            "statuscode",
            "code_challenge_method",
            "password_policy",
            "passwordless",
            "PasswordPolicies",
            "secretary",
            "tokenizer",
            "bypass",
            "author",
            "assessment",
            "instance_url",
            "client_id",
            "scope",
            "consumer_key",
            "country_code",
            "status",
            "",
            "12",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
