//! What holds of a request's parts, whatever a stranger sends: the callback's query, a form, cookies, a bearer
//! token. The fuzzer tries new bytes; the tests of `callback` try the kept corpus again.

use http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use lambda_http::Body;
use web::{
    Request,
    request::{Form, MAX_FORM, bearer, cookie},
};

use crate::answer::{Answer, Outcome};

/// A code, and a state: no longer than this comes through.
const MAX_CODE: usize = 4 * 1024;
const MAX_STATE: usize = 128;

/// Fails when something does not hold of these bytes.
pub(crate) fn holds(bytes: &[u8]) {
    query_holds(bytes);
    form_holds(bytes);
    headers_hold(bytes);
}

/// A callback is an answer if it names a state that can be ours. It is declined if it names an error, whatever else it
/// brings, and approved only if it brings one state, one code and no error.
pub(crate) fn query_holds(bytes: &[u8]) {
    let uri = [b"/oauth/callback?", bytes].concat();
    // What is no URI, no HTTP server lets in.
    let Ok(request) = http::Request::builder().uri(uri).body(Body::Empty) else { return };
    let query = request.uri().query().unwrap_or_default();
    let answer = Answer::read(&request);

    // Values as they are read one by one: `None` is not UTF-8.
    let given = |name: &str| -> Vec<Option<String>> {
        let pieces = query.as_bytes().split(|byte| *byte == b'&');
        let values = pieces.filter_map(|piece| {
            let end = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
            let value = piece.get(end + 1..).unwrap_or_default();
            (text(&piece[..end]).as_deref() == Some(name) && !value.is_empty()).then(|| text(value))
        });
        let mut values: Vec<_> = values.collect();
        // A code that comes twice is two codes.
        if name != "code" {
            values.sort();
            values.dedup();
        }
        values
    };
    let (states, codes) = (given("state"), given("code"));
    let usable = |state: &&String| state.len() <= MAX_STATE;
    let ours: Vec<&String> = states.iter().flatten().filter(usable).collect();
    let Some(answer) = answer else { return assert!(ours.is_empty(), "{ours:?} is answered: {query}") };
    assert!(ours.iter().any(|state| *state == answer.state.expose()), "an answer to no attempt: {query}");
    match answer.outcome {
        Outcome::Declined { code, .. } => {
            let errors = given("error");
            let is_one = |error: &Option<String>| error.as_ref().is_none_or(|error| *error == code);
            assert!(!code.is_empty() && errors.iter().any(is_one), "{code}: {query}");
        }
        Outcome::Approved(code) => {
            assert_eq!((states.len(), codes.len(), given("error").len()), (1, 1, 0), "{query}");
            assert_eq!(Some(code.expose()), codes[0].as_deref());
            assert!(code.expose().len() <= MAX_CODE, "a code of {} bytes", code.expose().len());
        }
        Outcome::Unclear(why) => {
            assert!(given("error").is_empty(), "{why}: {query}");
            let approved = states.len() == 1 && matches!(&codes[..], [Some(code)] if code.len() <= MAX_CODE);
            assert!(!approved, "{why}: {query}");
        }
    }
}

/// A form is UTF-8 and within its limit, or refused; what is given twice is not given.
fn form_holds(bytes: &[u8]) {
    let form = Form::of_body(&Request::new(Body::Binary(bytes.to_vec())));
    let Some(pairs) = pairs(bytes).filter(|_| bytes.len() <= MAX_FORM) else {
        return assert!(form.is_err(), "a form that is none was read");
    };
    let Ok(form) = form else { panic!("a form was refused") };
    for (name, value) in pairs.iter().take(16) {
        let once = pairs.iter().filter(|(key, _)| key == name).count() == 1;
        assert_eq!(form.only(name), once.then_some(value.as_str()), "{name:?}");
        assert_eq!(form.doubled(name), !once, "{name:?}");
    }
}

/// A cookie is one of those that were sent, and a bearer token no longer than ours are.
fn headers_hold(bytes: &[u8]) {
    const NAME: &str = "__Host-lk-abc";
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut request = Request::new(Body::Empty);
    request.headers_mut().insert(COOKIE, value.clone());
    request.headers_mut().insert(AUTHORIZATION, value);
    let sent = String::from_utf8_lossy(bytes);

    if let Some(secret) = cookie(&request, NAME) {
        let pair = format!("{NAME}={}", secret.expose());
        assert_eq!(sent.split(';').filter(|sent| sent.trim() == pair).count(), 1, "{sent}");
    }
    if let Some(key) = bearer(&request) {
        let key = key.expose();
        assert!((1..=300).contains(&key.len()) && key.trim() == key, "{sent}");
        assert!(sent.to_ascii_lowercase().starts_with("bearer ") && sent.trim_end().ends_with(key), "{sent}");
    }
}

/// `application/x-www-form-urlencoded`, read by another hand (URL Standard §5.1). `None`: it is not UTF-8.
fn pairs(query: &[u8]) -> Option<Vec<(String, String)>> {
    let pieces = query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    let pairs = pieces.map(|piece| {
        let end = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        Some((decoded(&piece[..end])?, decoded(piece.get(end + 1..).unwrap_or_default())?))
    });
    pairs.collect()
}

/// A text of the callback's query. U+FFFD stands for bytes that were no UTF-8.
fn text(encoded: &[u8]) -> Option<String> {
    decoded(encoded).filter(|text| !text.contains('\u{FFFD}'))
}

/// Percent-decoded, a plus being a blank. `None`: it is not UTF-8.
fn decoded(encoded: &[u8]) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::new();
    let mut rest = encoded;
    while let [first, others @ ..] = rest {
        rest = others;
        bytes.push(match (first, others) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high * 16 + low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    String::from_utf8(bytes).ok()
}
