//! The search: every form of every secret, in every place that a person, a log or a thief of the table could read.

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use local::tape::Answered;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// A secret, and the word for what it is.
pub type Secret = (String, &'static str);

/// Where a secret may stand, by name: the addresses that the design's *Never* lets us make, and what hands a browser or
/// a product what is its own. In plain alone, in answers alone, and only right after this text.
struct Excepted {
    name: &'static str,
    what: &'static str,
    place: Place<'static>,
    after: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Body,
    Header(&'a str),
}

const EXCEPTED: [Excepted; 10] = [
    Excepted { name: "the connect link", what: "connect key", place: Place::Body, after: "/connect/" },
    Excepted {
        name: "the way to the connect page",
        what: "connect key",
        place: Place::Header("location"),
        after: "/connect/",
    },
    Excepted {
        name: "the session's cookie",
        what: "connect key",
        place: Place::Header("set-cookie"),
        after: "=",
    },
    Excepted { name: "the attempt's cookie", what: "cookie", place: Place::Header("set-cookie"), after: "=" },
    Excepted {
        name: "the state on the way to Salesforce",
        what: "state",
        place: Place::Header("location"),
        after: "state=",
    },
    Excepted {
        name: "the nonce on the way to Salesforce",
        what: "nonce",
        place: Place::Header("location"),
        after: "nonce=",
    },
    Excepted {
        name: "the one-time receipt",
        what: "receipt",
        place: Place::Header("location"),
        after: "receipt=",
    },
    Excepted {
        name: "the token that its product asked for",
        what: "access token",
        place: Place::Body,
        after: "\"access_token\":\"",
    },
    Excepted { name: "the ops link", what: "ops link", place: Place::Body, after: "/ops/sign-in/" },
    Excepted { name: "the ops cookie", what: "ops session", place: Place::Header("set-cookie"), after: "=" },
];

/// Everything that could be read.
#[derive(Debug, Default)]
pub struct Places {
    /// The log, at whatever level it was kept.
    pub log: String,
    /// What invocations ended in: metrics and fields.
    pub lines: Vec<String>,
    /// What was answered: pages, documents, headers.
    pub answers: Vec<Answered>,
    /// The tables' items, as DynamoDB's JSON.
    pub items: Vec<Value>,
    /// What a collector of traces was sent.
    pub traces: Vec<String>,
}

fn hex(text: &str) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble");
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The forms in which a secret would be recognised, each with its word.
fn forms(secret: &str) -> Vec<(String, &'static str)> {
    let hex = hex(secret);
    let mut forms = vec![
        (secret.to_owned(), "plain"),
        (utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(), "URL"),
        (form_urlencoded::byte_serialize(secret.as_bytes()).collect(), "form"),
        (hex.to_ascii_uppercase(), "HEX"),
        (hex, "hex"),
    ];
    // Within a longer text a secret may begin at any of three places of a group of three bytes: what of its base64
    // does not depend on its neighbours is looked for.
    for (before, word) in [(0, "base64, in step"), (1, "base64, one on"), (2, "base64, two on")] {
        let padded = [&vec![0; before], secret.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        let from = if before == 0 { 0 } else { 4 };
        for text in [STANDARD.encode(&padded[..whole]), URL_SAFE_NO_PAD.encode(&padded[..whole])] {
            forms.push((text[from..].to_owned(), word));
        }
    }
    forms
}

/// What was found, as a sentence without the secret; `None`: nothing got out.
pub fn search(secrets: &[Secret], places: &Places) -> Option<String> {
    let forms: Vec<(String, &str, &str, &str)> = secrets
        .iter()
        .flat_map(|(secret, what)| {
            let of = move |(text, form)| (text, form, *what, secret.as_str());
            forms(secret).into_iter().map(of)
        })
        .collect();
    let search = AhoCorasick::builder()
        .build(forms.iter().map(|(text, ..)| text))
        .expect("the forms of some hundred secrets");
    let found = |text: &str, place: &str| {
        let hit = search.find(text)?;
        let (_, form, what, _) = &forms[hit.pattern().as_usize()];
        let line = text[..hit.start()].lines().next_back().unwrap_or_default();
        let line: String = line.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
        Some(format!("a {what} stands in {place} ({form}) after {line}"))
    };

    let lines = || places.lines.iter().find_map(|line| found(line, "a line of metrics"));
    let traces = || places.traces.iter().find_map(|trace| found(trace, "a trace"));
    let items = || places.items.iter().find_map(|item| found(&in_the_clear(item), "the table"));
    let answers = || {
        places.answers.iter().find_map(|answer| {
            let place = format!("the answer to {}", answer.asked);
            let header = |(name, value): &(String, String)| {
                let cut = without_excepted(value, secrets, |place| place == Place::Header(name));
                found(&cut, &format!("the header {name} of {place}"))
            };
            answer.headers.iter().find_map(header).or_else(|| {
                let cut = without_excepted(&answer.body, secrets, |place| place == Place::Body);
                found(&cut, &place)
            })
        })
    };
    found(&places.log, "the log").or_else(lines).or_else(traces).or_else(items).or_else(answers)
}

/// A text without the secrets that may stand there.
fn without_excepted(text: &str, secrets: &[Secret], here: impl Fn(Place<'_>) -> bool) -> String {
    let mut text = text.to_owned();
    for excepted in EXCEPTED.iter().filter(|excepted| here(excepted.place)) {
        if !text.contains(excepted.after) {
            continue;
        }
        for (secret, _) in secrets.iter().filter(|(_, what)| *what == excepted.what) {
            let address = format!("{}{secret}", excepted.after);
            if text.contains(&address) {
                text = text.replace(&address, excepted.name);
            }
        }
    }
    text
}

/// An item's text, and what is a text in it once it is decoded.
fn in_the_clear(item: &Value) -> String {
    fn decoded(value: &Value, all: &mut String) {
        match value {
            Value::String(text) => {
                if let Ok(bytes) = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)) {
                    all.push('\n');
                    all.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| decoded(value, all)),
            Value::Object(members) => members.values().for_each(|value| decoded(value, all)),
            _ => {}
        }
    }
    let mut all = item.to_string();
    decoded(item, &mut all);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "5Aep861TSESvWeug_w5Oil7m!Xq/Yq+YDVVTTvp6AFDGd3LFy=vZDua";

    fn secrets() -> Vec<Secret> {
        vec![
            (TOKEN.to_owned(), "refresh token"),
            ("ck_abcdefghijklmnopqrstuvwxyz".into(), "connect key"),
            ("receipt-abcdefghijklmnop".into(), "receipt"),
        ]
    }

    fn answer(headers: &[(&str, &str)], body: &str) -> Places {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answered = Answered { asked: "GET /x".into(), headers, body: body.into() };
        Places { answers: vec![answered], ..Places::default() }
    }

    /// A text in each place.
    fn everywhere(text: &str) -> Vec<Places> {
        vec![
            Places { log: format!("a line\nanother with {text} in it"), ..Places::default() },
            Places { lines: vec![format!("{{\"x\":\"{text}\"}}")], ..Places::default() },
            Places { traces: vec![text.to_owned()], ..Places::default() },
            Places { items: vec![json!({ "pk": { "S": text } })], ..Places::default() },
            Places {
                items: vec![json!({ "m": { "M": { "b": { "B": STANDARD.encode(text) } } } })],
                ..Places::default()
            },
            answer(&[("x-anything", text)], ""),
            answer(&[], text),
        ]
    }

    #[test]
    fn a_secret_is_found_in_each_place_and_form() {
        let url = utf8_percent_encode(TOKEN, NON_ALPHANUMERIC).to_string();
        let form: String = form_urlencoded::byte_serialize(TOKEN.as_bytes()).collect();
        let hex = hex(TOKEN);
        let mut planted = vec![TOKEN.to_owned(), url, form, hex.to_ascii_uppercase(), hex];
        for neighbour in ["", "a", "ab", "abc"] {
            let text = format!("{neighbour}{TOKEN}{neighbour}");
            planted.extend([STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)]);
        }
        for text in planted {
            for places in everywhere(&text) {
                let said = search(&secrets(), &places);
                let said = said.unwrap_or_else(|| panic!("{text} is overlooked in {places:?}"));
                assert!(said.starts_with("a refresh token"), "{said}");
                assert!(!said.contains(TOKEN), "the finding does not repeat it");
            }
        }
    }

    #[test]
    fn what_may_stand_somewhere_may_stand_nowhere_else() {
        let link = "/connect/ck_abcdefghijklmnopqrstuvwxyz";
        let receipt = "https://product.example/return?receipt=receipt-abcdefghijklmnop";
        assert_eq!(search(&secrets(), &answer(&[("location", receipt)], link)), None);
        for places in everywhere(link).iter().take(6).chain(everywhere(receipt).iter()) {
            assert!(search(&secrets(), places).is_some(), "{places:?}");
        }
        assert!(search(&secrets(), &answer(&[], "ck_abcdefghijklmnopqrstuvwxyz")).is_some(), "no link");
    }

    #[test]
    fn where_nothing_is_nothing_is_found() {
        for places in everywhere("nothing to see") {
            assert_eq!(search(&secrets(), &places), None);
        }
    }
}
