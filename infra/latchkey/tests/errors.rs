//! What the operator's command says when it fails: in one sentence, with what to do, and as JSON with `--json`.

use std::process::{Command, Output};

use serde_json::Value;
use world::secrets::SecretsManager;

const AWS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-central-1"), ("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")];

/// An address at which nothing listens.
const NOBODY: &str = "http://127.0.0.1:9";

fn latchkey(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A failure with and without `--json`: what a person reads on standard error, and the object on standard output.
fn failure(arguments: &[&str], environment: &[(&str, &str)]) -> (String, Value) {
    let plain = latchkey(arguments, environment);
    let json = latchkey(&[arguments, &["--json"]].concat(), environment);
    assert_eq!(plain.status.code(), json.status.code(), "{arguments:?}");
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{}", text(&plain.stdout));
    assert!(json.stderr.is_empty(), "{}", text(&json.stderr));
    let lines: Vec<String> = text(&json.stdout).lines().map(str::to_owned).collect();
    let [line] = &lines[..] else { panic!("{arguments:?}: {lines:?}") };
    let told: Value = serde_json::from_str(line).expect("JSON");
    assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{told}");
    (text(&plain.stderr), told)
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    let empty = new_folder();
    let empty = empty.0.to_str().expect("a path");
    for (arguments, environment, says) in [
        (&["apply", "nofolder", "--check"][..], &[][..], "nofolder: there is no such folder"),
        (&["apply", "Cargo.toml", "--check"], &[], "Cargo.toml: not a folder"),
        (&["apply", empty, "--check"], &[], "no product file"),
        (
            &["failures", "top", "--table", "t"],
            &[],
            "AWS_REGION is not set: set it to the deployment's region",
        ),
        (
            &["failures", "top", "--table", "t"],
            &[("AWS_REGION", "eu-central-1")],
            "AWS_ACCESS_KEY_ID is not set: this command needs AWS credentials",
        ),
        (&["failures", "top"], &AWS, "--table (or TABLE_NAME) is needed"),
        (&["keyring", "rotate"], &AWS, "--keyring (or KEYRING_SECRET_ID) is needed"),
        (&["key", "create", "nobody", "--products", "../products"], &[], "nobody"),
        (&["key", "create", "nobody"], &[], "infra/products: there is no such folder"),
        (&["quarantine", "release", "con_x"], &[], "CONNECTION"),
        (&["import", "rows.jsonl", "--url", "https://latchkey.example"], &[], "LATCHKEY_API_KEY"),
        (&["apply", "--no-such-option"], &[], "--no-such-option"),
        (&["frobnicate"], &[], "frobnicate"),
        (&[], &[], "Usage"),
    ] {
        let (plain, told) = failure(arguments, environment);
        let error = told["error"].as_str().expect("text");
        let all = told.to_string();
        assert!(plain.contains(says) && all.contains(says), "{arguments:?}: {plain}\n{all}");
        assert!(!plain.contains("template.yaml") && !error.contains(":0:"), "{arguments:?}: {plain}");
    }
}

#[test]
fn findings_of_all_product_files_are_told_at_once() {
    let folder = new_folder();
    std::fs::write(folder.0.join("a.toml"), "id = \"Bad Id\"\n").expect("a file");
    std::fs::write(folder.0.join("b.toml"), "id = ").expect("a file");
    let path = folder.0.to_str().expect("a path");

    let (plain, told) = failure(&["apply", path, "--check"], &[]);

    assert!(plain.contains("a.toml:1: id: ") && plain.contains("b.toml:1: "), "{plain}");
    let findings = told["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), plain.lines().count(), "{told}");
    assert!(findings.iter().any(|found| found["field"] == "id" && found["line"] == 1), "{told}");
    assert!(findings.iter().all(|found| found["file"].is_string() && found["what"].is_string()), "{told}");
}

#[test]
fn aws_that_does_not_answer_is_named_with_what_to_do() {
    let nowhere = [&AWS[..], &[("AWS_ENDPOINT_URL", NOBODY)]].concat();
    for arguments in [
        &["failures", "top", "--table", "t"][..],
        &["apply", "../products", "--table", "t"],
        &["keyring", "rotate", "--keyring", "k"],
        &["quarantine", "list", "--table", "t", "--fallback-table", "f"],
        &["restore", "--from", "copy", "--table", "t"],
        &["ops", "sessions", "list", "--table", "t"],
    ] {
        let (plain, _) = failure(arguments, &nowhere);
        assert!(
            plain.contains("AWS did not answer: check the network, AWS_REGION"),
            "{arguments:?}: {plain}"
        );
        assert!(plain.len() < 400 && !plain.contains("ConnectorError"), "{arguments:?}: {plain}");
        assert!(!plain.contains("set-secret"), "{arguments:?}: {plain}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_goes_on_whatever_it_meets() {
    let secrets = SecretsManager::start().await;
    let table = [
        ("TABLE_NAME", "table"),
        ("FALLBACK_TABLE_NAME", "fallback"),
        ("KEYRING_SECRET_ID", "keyring"),
        ("PUBLIC_URL", "https://latchkey.invalid"),
        ("LATCHKEY_PRODUCTS", concat!(env!("CARGO_MANIFEST_DIR"), "/../products")),
    ];
    let reached = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()), ("AWS_ENDPOINT_URL", NOBODY)];
    for (environment, names) in [
        (vec![], &["the settings", "the API"][..]),
        (AWS.to_vec(), &["the settings", "the API"]),
        (
            [&AWS[..], &table, &reached].concat(),
            &[
                "table table",
                "table fallback",
                "time to live",
                "the fallback",
                "the keyring",
                "product fernway",
                "the API",
            ],
        ),
        (
            [&AWS[..], &table[..4], &[("LATCHKEY_PRODUCTS", "nofolder")], &reached].concat(),
            &["product files", "the API"],
        ),
        (
            [&AWS[..], &table[..1], &table[2..], &reached, &[("SWEEP_FUNCTION", "no arn")]].concat(),
            &["the fallback table", "egress as seen", "table table"],
        ),
    ] {
        let run = move || latchkey(&["doctor", "--json", "--egress-address", "192.0.2.1"], &environment);
        let output = tokio::task::block_in_place(run);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr));
        });
        assert_eq!(output.status.code(), Some(3), "{said}");
        let findings = said["findings"].as_array().expect("findings");
        for name in names {
            let found = findings.iter().find(|found| found["what"] == *name);
            let found = found.unwrap_or_else(|| panic!("{name} is not told: {said}"));
            let why = found["why"].as_str().expect("text");
            assert!(found["good"] == false && (1..500).contains(&why.len()), "{found}");
        }
        assert!(!said.to_string().contains("ServiceError"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_secret_that_is_missing_is_to_be_stored() {
    let (dynamodb, secrets) = (world::dynamodb::DynamoDb::start(None).await, SecretsManager::start().await);
    let aws = platform::Aws {
        region: "eu-central-1".into(),
        credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
        dynamodb: Some(dynamodb.endpoint().to_owned()),
        secrets_manager: None,
        sqs: None,
        eventbridge: None,
    };
    let store = store::Store::new(aws.dynamodb_client(), "table");
    store.create_table().await.expect("a table");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../products");
    for product in latchkey::read_products(folder.as_ref()).expect("good files") {
        store.put_product(&product).await.expect("the table can be written");
    }
    let why = |manager: &str| {
        let environment = [
            &AWS[..],
            &[
                ("TABLE_NAME", "table"),
                ("PUBLIC_URL", "https://connect.example.com"),
                ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint()),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", manager),
            ],
        ]
        .concat();
        let run = || latchkey(&["app", "check", "fernway", "sync", "--json"], &environment);
        let said: Value = serde_json::from_slice(&tokio::task::block_in_place(run).stdout).expect("JSON");
        let findings = said["findings"].as_array().expect("findings").iter();
        let secret = findings.clone().find(|found| found["host"] == "Secrets Manager").expect("the secret");
        secret["why"].as_str().expect("text").to_owned()
    };

    let missing = why(secrets.endpoint());
    assert!(missing.contains("Store it: latchkey app set-secret fernway sync"), "{missing}");
    let away = why(NOBODY);
    assert!(away.contains("AWS did not answer") && !away.contains("set-secret"), "{away}");
}

/// A folder of its own, which goes with the value.
struct Folder(std::path::PathBuf);

fn new_folder() -> Folder {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("latchkey-errors-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    Folder(folder)
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
