//! What holds of the reader of pastes, whatever is pasted. The fuzzer tries new bytes; the tests of `diagnosis`
//! try the kept corpus again.

use diagnosis::evidence;
use std::hash::{DefaultHasher, Hash, Hasher};

use diagnosis::evidence::MAX_EVIDENCE;
use diagnosis::{Context, diagnose, read_paste, scrub};
use domain::{AppKind, Evidence, Provenance, Stage};

/// The most bytes of a paste that are kept.
const KEPT: usize = 8 * 1024;

/// Where it happened, and with which kind of app: the length of the text chooses.
const STAGES: [Stage; 6] =
    [Stage::Authorize, Stage::Lost, Stage::Callback, Stage::Exchange, Stage::Refresh, Stage::Api];
const KINDS: [AppKind; 2] = [AppKind::ConnectedApp, AppKind::ExternalClientApp];

/// A session id, a refresh token, a JWT, and four that only their names give away. `#` is a word of each text's
/// own, so that a text cannot hold it already.
const SECRETS: [&str; 7] = [
    "00D5g0000008abcE!AQEAQKd3vZ1Lw9mYh#T4pRsB8xJqUeFnC6.oGiWyPz2_tVkA7",
    "5Aep861TSESvWeug_xvFHRB#TTbf_YrTWgEyjBJrkb8lXLDZZKwbZzDM",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwMDUifQ.Yk3fVt8pQ2#sWmNc7LxHj",
    "client_secret=correct-#.staple",
    "\"access_token\": \"battery~#\"",
    "SF_PASSWORD_PROD=correct-#.staple",
    "\"passwordConfirmation\": \"battery~#\"",
];

/// Fails when something does not hold of these bytes.
pub(crate) fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let kept = scrub(&text);
    assert!(kept.len() <= KEPT, "{} bytes are kept", kept.len());
    assert_eq!(scrub(&kept), kept, "scrubbing again changes it");

    let context = Context {
        stage: STAGES[text.len() % STAGES.len()],
        app_kind: KINDS[text.len() / STAGES.len() % KINDS.len()],
        environment: None,
        connected_before: None,
    };
    if let Some(evidence) = read_paste(&text) {
        evidence_holds(&evidence);
        diagnosis_holds(&evidence, context);
    }
    let (code, description) = text.split_once('\n').unwrap_or((&text, ""));
    diagnosis_holds(&evidence::callback(code, Some(description)), context);
    no_secret_survives(&text);
}

/// It says something, within bounds, was told and not seen, and names no host but Salesforce's.
fn evidence_holds(evidence: &Evidence) {
    assert_eq!(evidence.provenance, Provenance::Reported);
    let said: Vec<&String> = evidence.code.iter().chain(&evidence.description).collect();
    assert!(!said.is_empty(), "evidence of nothing");
    for text in said {
        assert!(!text.is_empty() && text.chars().count() <= MAX_EVIDENCE, "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    if let Some(host) = &evidence.host {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
        assert!(host.len() <= 260 && host.bytes().all(plain), "{host:?}");
        let salesforce = [".my.salesforce.", ".crmforce.mil", ".my.sfcrmproducts.cn", ".sfcrmapps.cn"];
        assert!(salesforce.iter().any(|own| host.contains(own)), "{host:?}");
    }
}

/// It has an answer, the surest first, and each cause once.
fn diagnosis_holds(evidence: &Evidence, context: Context) {
    let ranked = diagnose(evidence, &context).ranked;
    assert!(!ranked.is_empty(), "no cause at {context:?}: {evidence:?}");
    assert!(ranked.is_sorted_by_key(|candidate| std::cmp::Reverse(candidate.confidence)));
    for (place, candidate) in ranked.iter().enumerate() {
        let again = ranked[..place].iter().any(|other| other.cause.id == candidate.cause.id);
        assert!(!again, "{} twice at {context:?}: {evidence:?}", candidate.cause.id);
    }
}

/// A secret in the middle of the text, as it is or encoded, is neither kept nor read as evidence.
fn no_secret_survives(text: &str) {
    let word = word(text);
    let secret = SECRETS[text.len() % SECRETS.len()].replace('#', &word);
    let secret = match text.len() / SECRETS.len() % 3 {
        0 => secret,
        1 => secret.replace('=', "%3D").replace('"', "%22").replace('!', "%21"),
        _ => secret.replace('=', "&#61;").replace('"', "&quot;").replace('!', "&#33;"),
    };
    let (before, after) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let pasted = format!("{before} {secret} {after}");
    let kept = scrub(&pasted);
    assert!(!kept.contains(&word), "{word} is kept: {kept}");
    if let Some(evidence) = read_paste(&pasted) {
        let told = format!("{evidence:?}");
        assert!(!told.contains(&word), "{word} is evidence: {told}");
    }
}

/// Sixteen letters that follow from the text.
fn word(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let letter = |nibble: u8| char::from(b'a' + nibble);
    hasher
        .finish()
        .to_le_bytes()
        .into_iter()
        .flat_map(|byte| [letter(byte >> 4), letter(byte & 15)])
        .collect()
}
