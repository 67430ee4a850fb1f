//! API Gateway's HTTP events, payload format 2.0, as the service writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The event for a request. Headers given twice are joined by a comma and cookies stand apart from them, as API
/// Gateway has it; a body that is not text or JSON, a submitted form included, arrives in base64.
pub fn http_event(
    method: &str,
    path_and_query: &str,
    headers: &[(&str, &str)],
    cookies: &[&str],
    body: Option<&str>,
) -> Value {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut joined = Map::new();
    for (name, value) in headers {
        join(&mut joined, &name.to_ascii_lowercase(), value);
    }
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        join(&mut parameters, &name, &value);
    }
    let header =
        |name: &str, default: &str| joined.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let host = header("host", "latchkey.example");
    let content_type = header("content-type", "");
    let text = ["text/", "application/json", "application/javascript", "application/xml"];
    let plain = content_type.is_empty() || text.iter().any(|prefix| content_type.starts_with(prefix));

    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": joined,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api-id",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": header("user-agent", ""),
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_i64,
        },
        "isBase64Encoded": body.is_some() && !plain,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !parameters.is_empty() {
        event["queryStringParameters"] = Value::Object(parameters);
    }
    if let Some(body) = body {
        event["body"] = json!(if plain { body.to_owned() } else { STANDARD.encode(body) });
    }
    event
}

/// Adds a value; one that is there already is kept before a comma.
fn join(values: &mut Map<String, Value>, name: &str, value: &str) {
    let joined = match values.get(name).and_then(Value::as_str) {
        Some(earlier) => format!("{earlier},{value}"),
        None => value.to_owned(),
    };
    values.insert(name.to_owned(), Value::String(joined));
}
