//! Secrets in pasted and observed texts: whatever characters they have, however they are named, written and encoded,
//! no part of them is kept.

use diagnosis::{read_paste, redact, scrub};

/// Parts of a secret. None of them may be kept, since a special character between them must not end the secret.
const PARTS: [&str; 3] = ["Qzx7", "Wvk8", "Jyq9"];

/// What people put into passwords.
const SPECIAL: [&str; 32] = [
    ",", ";", "\"", "'", "`", "&", "%", "<", ">", "(", ")", "[", "]", "{", "}", "#", "|", "\\", "/", "=",
    ":", "+", "@", "!", "?", "*", "^", "~", "$", "é", "\",", "');",
];

const ERROR: &str = "OAUTH_APP_BLOCKED";

fn percent(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// A text of JSON as Go and others write it.
fn json_for_html(text: &str) -> String {
    json(text).replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// The text inside a string of JSON.
fn escaped(text: &str) -> String {
    let json = json(text);
    json[1..json.len() - 1].to_owned()
}

type Encode = fn(&str) -> String;

/// How a secret is written where its text has a structure: the pattern, and how the secret is encoded in it.
const STRUCTURES: &[(&str, Encode)] = &[
    ("https://login.salesforce.com/?un=uma&pw={}&Login=x", percent),
    ("https://acme.my.salesforce.com/?un=uma&j_password={}&submit=Log", percent),
    ("pw={}&un=uma", percent),
    ("client_secret={}&grant_type=refresh_token", percent),
    ("{\"password\":\"{}\",\"other\":\"x\"}", escaped),
    ("{ \"client_secret\" : \"{}\" }", escaped),
    ("{\"name\":\"pw\",\"value\":\"{}\"}", escaped),
    ("{\"url\":\"https://x.example/?access_token={}\",\"other\":1}", percent),
    ("password: \"{}\"", escaped),
    (":password => \"{}\",", escaped),
    ("<password>{}</password>", html),
    ("<urn:sessionId xsi:type=\"xsd:string\">{}</urn:sessionId>", html),
    ("<password><![CDATA[{}]]></password>", str::to_owned),
    ("<input name=\"pw\" type=\"password\" value=\"{}\">", html),
    ("<input value='{}' name='pw'>", html),
    ("<td>Password</td><td>{}</td>", html),
    ("<b>Password:</b> {}<br>", html),
    ("https://uma:{}@acme.my.salesforce.com/", percent),
    ("curl -u \"uma@acme.example:{}\" https://x.example", escaped),
];

/// How people write a secret in prose and in tables of their own.
const PROSE: &[&str] = &[
    "Password: {}",
    "password={}",
    "PW = {}",
    "pwd => {}",
    "Password is: {}",
    "The password is: {}",
    "My password is: {}",
    "my password is {}",
    "the password is {} and it worked yesterday",
    "My new password is now {}",
    "The password was changed to {}",
    "password has been reset to: {}",
    "password should be {}",
    "The password for uma@acme.example is {}",
    "Password for the integration user: {}",
    "password - {}",
    "password | {} |",
    "password → {}",
    "Password\n{}\nLog In",
    "Password:\n{}\n",
    "I used my password {} today",
    "Passwort ist: {}",
    "Mein Passwort lautet: {}",
    "Mi contraseña es: {}",
    "la contraseña de uma es {}",
    "Mon mot de passe est : {}",
    "Minha senha é: {}",
    "La mia password è: {}",
    "パスワードは：{}",
    "密码是：{}",
    "session id is: {}",
    "the session id was {}",
    "verification code is: {}",
    "the security token is {}",
    "my token is: {}",
    "access token = {}",
    "client secret: {}",
    "sid={}",
    "refresh_token: {}",
    "X-Api-Key: {}",
];

/// What encodes a whole text on its way.
const ENCODINGS: &[(&str, Encode)] = &[
    ("plain", str::to_owned),
    ("percent", percent),
    ("percent twice", |text| percent(&percent(text))),
    ("HTML", html),
    ("HTML twice", |text| html(&html(text))),
    ("JSON", json),
    ("JSON twice", |text| json(&json(text))),
    ("JSON for HTML", json_for_html),
    ("percent in JSON", |text| json(&percent(text))),
    ("JSON in HTML", |text| html(&json(text))),
];

/// The secrets that are kept of a text.
fn kept_parts(pasted: &str) -> Option<String> {
    let kept = format!("{}\n{}\n{:?}", scrub(pasted), redact(pasted), read_paste(pasted));
    PARTS.iter().any(|part| kept.contains(part)).then_some(kept)
}

/// Tries a pattern with every special character: as it is, and in two encodings, so that all have their turn.
fn check(pattern: &str, encode: Encode, turn: usize, failures: &mut Vec<String>) {
    for (number, special) in SPECIAL.iter().enumerate() {
        let secret = encode(&PARTS.join(special));
        let text = format!("{}\n{ERROR}", pattern.replace("{}", &secret));
        let first = 1 + (turn + number) % (ENCODINGS.len() - 1);
        let second = 1 + (turn + number + 4) % (ENCODINGS.len() - 1);
        for (name, encoding) in [0, first, second].map(|index| ENCODINGS[index]) {
            let pasted = encoding(&text);
            if let Some(kept) = kept_parts(&pasted) {
                failures.push(format!("{name}: {pasted}\n→ {kept}"));
            }
            let scrubbed = scrub(&pasted);
            if !scrubbed.contains(ERROR) {
                failures.push(format!("{name}: the error is lost: {pasted}\n→ {scrubbed}"));
            }
        }
    }
}

#[test]
fn secrets_with_any_character_are_removed_from_structures() {
    let mut failures = Vec::new();
    for (turn, (pattern, encode)) in STRUCTURES.iter().enumerate() {
        check(pattern, *encode, turn, &mut failures);
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn secrets_with_any_character_are_removed_from_prose() {
    let mut failures = Vec::new();
    for (turn, pattern) in PROSE.iter().enumerate() {
        check(pattern, str::to_owned, turn, &mut failures);
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn one_time_codes_are_removed() {
    for text in [
        "verification code is: 482913",
        "Verification Code: 482913",
        "the code they texted me is 482913, error OAUTH_APP_BLOCKED",
        "My code is 482913.",
        "Your verification code 482913",
        "code: 482913",
    ] {
        let kept = format!("{}{}{:?}", scrub(text), redact(text), read_paste(text));
        assert!(!kept.contains("482913"), "{text} → {kept}");
    }
}

#[test]
fn passphrases_are_removed_with_their_line() {
    for text in [
        "Password: correct horse battery staple",
        "> Password: correct horse battery staple",
        "Username: uma\nMy password: correct horse battery staple\nOAUTH_APP_BLOCKED",
        "password = \"correct horse battery staple\"",
        "my password is 'correct horse battery staple'",
    ] {
        let kept = scrub(text);
        assert!(
            !["correct", "horse", "battery", "staple"].iter().any(|word| kept.contains(word)),
            "{text} → {kept}"
        );
        assert_eq!(kept.contains(ERROR), text.contains(ERROR), "{text} → {kept}");
    }
}

/// What nobody can decode is left out, and its raw text is not kept in its place.
#[test]
fn text_that_is_encoded_too_often_is_not_kept() {
    let mut text = "password=Qzx7Wvk8".to_owned();
    for _ in 0..15 {
        text = text.replace('&', "&#38;").replace('=', "&#61;").replace('%', "&#37;").replace('W', "%57");
    }
    for pasted in [text.clone(), format!("OAUTH_APP_BLOCKED\n{text}")] {
        for kept in [scrub(&pasted), redact(&pasted)] {
            assert!(!kept.contains("Qzx7") && !kept.contains("vk8"), "{kept}");
        }
    }
}

#[test]
fn errors_beside_secrets_are_kept() {
    for text in [
        "?code=aPrxY,9w&state=x1&error=OAUTH_APP_BLOCKED",
        r#"{"url":"https://x.example/cb?code=aPrx1\u0026state=x\u0026error=OAUTH_APP_BLOCKED"}"#,
        r#"{"message":"token: {\"error\":\"OAUTH_APP_BLOCKED\"}"}"#,
        "{'access_token': 'abc1', 'error': 'OAUTH_APP_BLOCKED'}",
        "token=abc1;error=OAUTH_APP_BLOCKED",
        "(sid: abc1) OAUTH_APP_BLOCKED",
        "password: abc1,OAUTH_APP_BLOCKED",
        "[\"token=abc1\",\"OAUTH_APP_BLOCKED\"]",
        "Password: hunter OAUTH_APP_BLOCKED",
        "Password: hunter this app is blocked by admin (OAUTH_APP_BLOCKED)",
        "?code=abc1&amp;error=OAUTH_APP_BLOCKED",
        "<b>Password:</b> hunter2<br>OAUTH_APP_BLOCKED",
        "Authorization: Digest username=\"uma\", response=\"abc1\"\nOAUTH_APP_BLOCKED",
        r#"{"sent":"Authorization: Bearer abc1","error":"OAUTH_APP_BLOCKED"}"#,
    ] {
        let kept = scrub(text);
        assert!(kept.contains(ERROR), "{text} → {kept}");
        assert!(!kept.contains("abc1"), "{text} → {kept}");
    }
}
