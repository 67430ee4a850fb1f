//! `local --json`: what a program reads.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use salesforce::Http;
use serde_json::Value;

#[tokio::test]
async fn json_is_the_whole_of_standard_output() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["--json", "--port", "0", "--product-port", "0", "--salesforce-port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut first = String::new();
    output.read_line(&mut first).expect("its addresses");
    let told: Value = serde_json::from_str(&first).expect("one line of JSON");

    let origin = told["latchkey"].as_str().expect("an address").replace("latchkey.localhost", "127.0.0.1");
    for path in ["/healthz", "/v1/connections", "/connect/ck_nobody", "/no/such/page"] {
        let request = http::Request::get(format!("{origin}{path}")).body(Vec::new()).expect("a request");
        Http::of_operator_here().send(request).await.expect("it answers");
    }
    child.kill().expect("it ends");
    let (mut rest, mut logs) = (String::new(), String::new());
    output.read_to_string(&mut rest).expect("text");
    child.stderr.take().expect("its logs").read_to_string(&mut logs).expect("text");
    child.wait().expect("it ended");

    assert_eq!(rest, "", "standard output goes on");
    let logged: Vec<Value> = logs.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!logged.is_empty(), "nothing is logged: {logs}");
}
