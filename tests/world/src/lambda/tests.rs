use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::*;

/// A function in a few lines of Python: what the Runtime API asks of every bootstrap.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, sys, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def post(path, value):
    urllib.request.urlopen(urllib.request.Request(api + path, json.dumps(value).encode(), method="POST"))
if os.environ.get("FAIL_INIT"):
    post("init/error", {"errorType": "Settings", "errorMessage": "TABLE_NAME is not set"})
    time.sleep(60)
while True:
    with urllib.request.urlopen(api + "invocation/next") as polled:
        request, deadline = polled.headers["Lambda-Runtime-Aws-Request-Id"], polled.headers["Lambda-Runtime-Deadline-Ms"]
        event = json.load(polled)
    print("event", request, flush=True)
    do = event.get("do")
    if do == "fail":
        post(f"invocation/{request}/error", {"errorType": "Oops", "errorMessage": "no"})
    elif do == "exit":
        sys.exit("out of cheese")
    elif do == "hang":
        pass
    else:
        left = int(deadline) - time.time() * 1000
        post(f"invocation/{request}/response", {"echo": event, "left_ms": left, "env": dict(os.environ)})
"#;

/// The script on disk for as long as the value lives.
struct Script(PathBuf);

impl Script {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
        std::fs::write(&path, BOOTSTRAP).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_binary_answers_events_in_lambdas_environment() {
    let script = Script::new("answers");
    let lambda = Lambda::start(&script.0, &[("TABLE_NAME", "latchkey"), ("AWS_REGION", "eu-west-1")]).await;
    let answer = lambda.invoke(json!({ "n": 1 })).await.unwrap();
    assert_eq!(answer["echo"], json!({ "n": 1 }));
    assert_eq!(answer["env"]["TABLE_NAME"], "latchkey");
    assert_eq!(answer["env"]["AWS_REGION"], "eu-west-1");
    assert_eq!(answer["env"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!(answer["env"]["CARGO_MANIFEST_DIR"], Value::Null, "nothing of ours leaks in");
    assert!((20_000.0..=30_000.0).contains(&answer["left_ms"].as_f64().unwrap()));
    lambda.invoke(json!({})).await.unwrap();
    assert_eq!(lambda.logs().len(), 2);
    assert!(lambda.logs()[0].starts_with("event 00000000-"));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let script = Script::new("fails");
    let lambda = Lambda::start(&script.0, &[]).await;
    let failed = lambda.invoke(json!({ "do": "fail" })).await.unwrap_err();
    assert_eq!(failed, InvokeError::Function(json!({ "errorType": "Oops", "errorMessage": "no" })));
    let hung = lambda.invoke_within(Duration::from_millis(300), json!({ "do": "hang" })).await;
    assert_eq!(hung, Err(InvokeError::TimedOut));
    let exited = lambda.invoke(json!({ "do": "exit" })).await.unwrap_err();
    assert_eq!(exited, InvokeError::Exited("exit status: 1".into()));
    assert!(lambda.logs().iter().any(|line| line == "out of cheese"), "{:?}", lambda.logs());
    assert_eq!(lambda.invoke(json!({})).await.unwrap_err(), exited, "it stays ended");
}

#[tokio::test]
async fn an_error_at_start_ends_every_invocation() {
    let script = Script::new("init");
    let lambda = Lambda::start(&script.0, &[("FAIL_INIT", "1")]).await;
    let InvokeError::Init(error) = lambda.invoke(json!({})).await.unwrap_err() else {
        panic!("not an init error")
    };
    assert_eq!(error["errorMessage"], "TABLE_NAME is not set");
}

#[tokio::test]
async fn dropping_it_ends_the_process() {
    let script = Script::new("drop");
    let lambda = Lambda::start(&script.0, &[]).await;
    let answer = lambda.invoke(json!({})).await.unwrap();
    let api = answer["env"]["AWS_LAMBDA_RUNTIME_API"].as_str().unwrap().to_owned();
    drop(lambda);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!running(&script.0), "the process outlived its owner");
    assert!(tokio::net::TcpStream::connect(api).await.is_err(), "and so did its Runtime API");
}

/// Whether a process still runs this script, by the command lines in /proc.
fn running(script: &Path) -> bool {
    let script = script.to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        let status = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        command.contains(script) && !status.contains(") Z ")
    })
}

#[test]
fn an_event_is_what_api_gateway_sends() {
    let event = http_event(
        "POST",
        "/connect/k?a=1&a=2&b=%20",
        &[
            ("Host", "auth.example.com"),
            ("X-A", "1"),
            ("x-a", "2"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        &["__Host-lk=v"],
        Some("environment=sandbox"),
    );
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/connect/k");
    assert_eq!(event["rawQueryString"], "a=1&a=2&b=%20");
    assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": " " }));
    assert_eq!(event["headers"]["x-a"], "1,2");
    assert_eq!(event["cookies"], json!(["__Host-lk=v"]));
    assert_eq!(event["requestContext"]["domainName"], "auth.example.com");
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!(
        (&event["isBase64Encoded"], &event["body"]),
        (&json!(true), &json!("ZW52aXJvbm1lbnQ9c2FuZGJveA=="))
    );
    assert_eq!(http_event("GET", "/", &[], &[], None).get("body"), None);
}
