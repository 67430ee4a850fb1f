//! What holds of any event of API Gateway's: method, path, query, headers, cookies and body.

use serde_json::{Map, Value, json};

use super::{
    Function, Request, Route, SanitizedEvent, TraceContext, bearer, cookie, is_prefetch, is_same_origin,
    json_body,
};

const FUNCTIONS: [Function; 5] =
    [Function::Authorize, Function::Callback, Function::Token, Function::Errors, Function::Ops];

/// Reads the bytes as an HTTP request (a line with method and address, headers, a body), makes the event of it that API
/// Gateway would, and routes it. `true`: one function takes it.
pub(crate) fn holds(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let (method, address) = first.split_once(' ').unwrap_or(("GET", first));
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (mut headers, mut cookies) = (Map::new(), Vec::new());
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("cookie") {
            cookies.push(value);
        } else {
            headers.insert(name.to_owned(), value.into());
        }
    }
    let event = json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "cookies": cookies, "headers": headers,
        "requestContext": { "stage": "$default", "http": { "method": method, "path": path } },
        "body": body, "isBase64Encoded": false,
    });
    // A method that HTTP does not have makes no event: API Gateway refuses it.
    let Ok(SanitizedEvent(event)) = serde_json::from_value::<SanitizedEvent>(event) else { return false };
    is_routed(&event.into())
}

fn is_routed(request: &Request) -> bool {
    assert!(request.uri().path().starts_with('/') && request.uri().host().is_none(), "{}", request.uri());
    let taken = FUNCTIONS.into_iter().filter(|function| takes(request, *function)).count();
    assert!(taken <= 1, "{taken} functions take {}", request.uri());

    let key = bearer(request);
    assert!(key.is_none_or(|key| (1..=300).contains(&key.expose().len())));
    assert!(cookie(request, "__Host-lk-abc").is_none_or(|secret| !secret.expose().contains(';')));
    if is_same_origin(request, "https://connect.example") {
        let ours =
            |name: &str| request.headers().get(name).is_some_and(|sent| sent == "https://connect.example");
        let site = request.headers().get("sec-fetch-site");
        assert!(site.map_or_else(|| ours("origin"), |site| site == "same-origin"));
    }
    is_prefetch(request);
    let trace = request.headers().get("traceparent").and_then(|sent| sent.to_str().ok());
    trace.and_then(TraceContext::parse);
    if let Err(refused) = json_body::<Value>(request) {
        assert!(refused.to_string().len() < 300, "{refused}");
    }
    taken == 1
}

/// Whether a function takes it. A refusal has a status that says so, and repeats no value.
fn takes(request: &Request, function: Function) -> bool {
    match Route::of(request, function) {
        Ok(route) => {
            let (method, parts) = route.parts();
            assert!(method == request.method().as_str() && !parts.is_empty());
            true
        }
        Err(refusal) => {
            let status = refusal.status().as_u16();
            assert!(matches!(status, 400 | 404 | 405), "{status}");
            assert!(refusal.headers().contains_key("x-content-type-options"));
            false
        }
    }
}
