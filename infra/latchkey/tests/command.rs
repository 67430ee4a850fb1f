//! The operator's command as an operator runs it, against an embedded DynamoDB.
#![expect(clippy::disallowed_methods, reason = "nothing else writes to the table of a test")]

use diagnosis::evidence;
use std::{
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Customer, Failure, FailureId, Stage, Surface, product::ApiKeyDigest, secret::Hash};
use jiff::{SignedDuration, Timestamp};
use platform::{Aws, clock::now};
use serde_json::json;
use store::Store;
use world::{dynamodb::DynamoDb, secrets::SecretsManager};

const TABLE: &str = "latchkey-dev";

fn products() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../products"))
}

fn aws(dynamodb: &DynamoDb) -> Aws {
    Aws {
        region: "eu-central-1".into(),
        credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
        dynamodb: Some(dynamodb.endpoint().to_owned()),
        secrets_manager: None,
        sqs: None,
        eventbridge: None,
    }
}

async fn latchkey(dynamodb: Option<&DynamoDb>, arguments: &[&str]) -> Output {
    fed(dynamodb, None, "", arguments).await
}

/// With a Secrets Manager, and something on standard input.
async fn fed(
    dynamodb: Option<&DynamoDb>,
    secrets: Option<&SecretsManager>,
    input: &str,
    arguments: &[&str],
) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(dynamodb) = dynamodb {
        command.envs(environment(dynamodb));
    }
    if let Some(secrets) = secrets {
        command.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint());
    }
    let input = input.to_owned();
    let run = move || {
        let mut running = command.spawn().expect("the command runs");
        let mut stdin = running.stdin.take().expect("a pipe");
        // A command that reads nothing may have ended before.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        running.wait_with_output().expect("it ends")
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

fn environment(dynamodb: &DynamoDb) -> [(&'static str, &str); 4] {
    [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint()),
    ]
}

/// A table with the products that we ship.
async fn applied(dynamodb: &DynamoDb) -> Store {
    let store = Store::new(aws(dynamodb).dynamodb_client(), TABLE);
    store.create_table().await.expect("a table");
    for product in latchkey::read_products(&products()).expect("good files") {
        store.put_product(&product).await.expect("the table can be written");
    }
    store
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_applied_once_and_then_unchanged() {
    let dynamodb = DynamoDb::start(None).await;
    let store = Store::new(aws(&dynamodb).dynamodb_client(), TABLE);
    store.create_table().await.expect("a table");
    let folder = products();
    let apply = ["apply", folder.to_str().expect("a path"), "--table", TABLE];
    let planned = latchkey(Some(&dynamodb), &[&apply[..], &["--dry-run"]].concat()).await;
    assert!(printed(&planned).contains("create  fernway"), "{}", printed(&planned));
    assert_eq!(store.product(&"fernway".parse().expect("an id")).await.expect("a table"), None);

    let first = latchkey(Some(&dynamodb), &apply).await;
    assert!(first.status.success(), "{}", printed(&first));
    assert!(printed(&first).contains("create  fernway"), "{}", printed(&first));
    let second = latchkey(Some(&dynamodb), &apply).await;
    assert!(printed(&second).contains("keep  fernway"), "{}", printed(&second));

    let stored = store.product(&"fernway".parse().expect("an id")).await.expect("the table answers");
    assert_eq!(stored.expect("Fernway").apps.len(), 2);
}

#[tokio::test]
async fn a_bad_file_ends_the_command_with_where_and_what() {
    let folder = std::env::temp_dir().join(format!("latchkey-apply-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("bad.toml"), "id = \"Bad Id\"\n").expect("a file");

    let refused = latchkey(None, &["apply", folder.to_str().expect("a path"), "--check"]).await;

    std::fs::remove_dir_all(&folder).expect("the folder");
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).contains("bad.toml:1: id: not a product id"), "{}", printed(&refused));
}

#[tokio::test]
async fn the_files_that_we_ship_are_good() {
    for folder in [products(), products().join("examples")] {
        let checked = latchkey(None, &["apply", folder.to_str().expect("a path"), "--check"]).await;
        assert!(checked.status.success(), "{}", printed(&checked));
    }
}

/// The product files, copied to where a command may write them.
fn copied(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for product in ["fernway", "tidewater"] {
        let file = format!("{product}.toml");
        std::fs::copy(products().join(&file), folder.join(&file)).expect("a copy");
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_works_once_applied_and_ends_when_it_is_revoked() {
    let dynamodb = DynamoDb::start(None).await;
    let store = Store::new(aws(&dynamodb).dynamodb_client(), TABLE);
    store.create_table().await.expect("a table");
    let folder = copied("keys");
    let with = |arguments: &[&'static str]| {
        let folder = folder.to_str().expect("a path").to_owned();
        let arguments = [arguments, &["--table", TABLE, "--products"]].concat();
        let dynamodb = &dynamodb;
        async move {
            let arguments: Vec<&str> = arguments.into_iter().chain([folder.as_str()]).collect();
            let done = latchkey(Some(dynamodb), &arguments).await;
            assert!(done.status.success(), "{}", printed(&done));
            printed(&done)
        }
    };
    let stored = async || {
        let product = store.product(&"fernway".parse().expect("an id")).await;
        product.expect("the table answers").expect("Fernway")
    };
    let before = std::fs::read_to_string(folder.join("fernway.toml")).expect("the file");

    let made = with(&["key", "create", "fernway", "--id", "k7", "--json"]).await;
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let key = domain::secret::ApiKey::new(made["key"].as_str().expect("a key"));
    let after = std::fs::read_to_string(folder.join("fernway.toml")).expect("the file");
    assert!(after.starts_with(&before), "nothing else of the file changes");
    assert!(!after.contains(key.expose()), "the key itself is in no file");
    assert!(with(&["apply"]).await.contains("create  fernway"));
    assert_eq!(stored().await.admits(&key), Some("k7"));
    assert!(with(&["key", "list", "fernway"]).await.contains("k7           works"));

    with(&["key", "revoke", "fernway", "k7"]).await;
    assert_eq!(stored().await.admits(&key), None);
    let end = std::fs::read_to_string(folder.join("fernway.toml")).expect("the file");
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert_eq!(end.trim_end(), before.trim_end());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_id_is_never_used_for_another_key() {
    let dynamodb = DynamoDb::start(None).await;
    let store = Store::new(aws(&dynamodb).dynamodb_client(), TABLE);
    store.create_table().await.expect("a table");
    let folder = copied("key-ids");
    let run = async |arguments: &[&str]| {
        let folder = folder.to_str().expect("a path");
        let done =
            latchkey(Some(&dynamodb), &[arguments, &["--table", TABLE, "--products", folder]].concat()).await;
        (done.status.success(), printed(&done))
    };
    let id_of = |told: &str| {
        let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
        told["id"].as_str().expect("an id").to_owned()
    };
    let create = ["key", "create", "fernway", "--json"];
    let (_, first) = run(&create).await;
    let (_, second) = run(&create).await;
    let (first, second) = (id_of(&first), id_of(&second));
    assert_ne!(first, second, "also within a second");
    assert!(run(&["apply"]).await.0);

    // Revoked by the command: the file forgets the id, the table does not.
    assert!(run(&["key", "revoke", "fernway", &first]).await.0);
    assert!(run(&["key", "create", "fernway", "--id", &first]).await.0);
    let (applied, told) = run(&["apply"]).await;
    assert!(!applied && told.contains(&first) && told.contains("belonged to another key"), "{told}");

    // Taken out of the file by hand, applied, and put back for another key.
    let file = folder.join("fernway.toml");
    let text = std::fs::read_to_string(&file).expect("the file");
    let without = text.split("[[api_keys]]").next().expect("the part before");
    std::fs::write(&file, without).expect("the file");
    assert!(run(&["apply"]).await.0);
    assert!(run(&["key", "create", "fernway", "--id", &second]).await.0);
    let (applied, told) = run(&["apply"]).await;
    assert!(!applied && told.contains("belonged to another key"), "{told}");

    // The digest of a known id is exchanged in the file.
    std::fs::write(&file, without).expect("the file");
    assert!(run(&["key", "create", "fernway", "--id", "backend"]).await.0);
    assert!(run(&["apply"]).await.0);
    std::fs::write(&file, without).expect("the file");
    assert!(run(&["key", "create", "fernway", "--id", "backend"]).await.0);
    let (applied, told) = run(&["apply"]).await;
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert!(!applied && told.contains("belonged to another key"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_a_restored_copy_is_not_refreshed_in_the_ordinary_way() {
    let dynamodb = DynamoDb::start(None).await;
    let client = aws(&dynamodb).dynamodb_client();
    for table in ["restored", TABLE] {
        Store::new(client.clone(), table).create_table().await.expect("a table");
    }
    let put = async |table: &str, pk: &str, more: &[(&str, AttributeValue)]| {
        let sk = pk.split('#').next().expect("a kind").to_owned();
        let mut put = client.put_item().table_name(table);
        put = put.item("pk", AttributeValue::S(pk.into())).item("sk", AttributeValue::S(sk));
        for (name, value) in more {
            put = put.item(*name, value.clone());
        }
        put.send().await.expect("the table can be written");
    };
    let text = |text: &str| AttributeValue::S(text.into());
    let active = |id: &str| {
        [
            ("id", text(id)),
            ("state", text("active")),
            ("refresh_token", text("v1.x")),
            ("epoch", AttributeValue::N("3".into())),
        ]
    };
    put("restored", "CONNECTION#cn_1", &active("cn_1")).await;
    put("restored", "CONNECTION#cn_2", &active("cn_2")).await;
    put("restored", "ATTEMPT#at_1", &[]).await;
    put("restored", "HISTORY#fernway#sync#acme", &[]).await;
    put(TABLE, "CONNECTION#cn_2", &[("state", text("active")), ("refresh_token", text("newer"))]).await;
    let restore = ["restore", "--from", "restored", "--table", TABLE, "--json"];

    let planned = latchkey(Some(&dynamodb), &[&restore[..], &["--dry-run"]].concat()).await;
    assert!(planned.status.success(), "{}", printed(&planned));
    let done = latchkey(Some(&dynamodb), &restore).await;
    assert!(done.status.success(), "{}", printed(&done));

    let read = async |pk: &str| {
        let sk = pk.split('#').next().expect("a kind").to_owned();
        let get = client.get_item().table_name(TABLE).key("pk", AttributeValue::S(pk.into()));
        get.key("sk", AttributeValue::S(sk)).send().await.expect("the table answers").item
    };
    let brought = read("CONNECTION#cn_1").await.expect("brought back");
    assert_eq!(brought["state"], text("refresh_unknown"));
    assert!(brought.contains_key("began_at") && brought.contains_key("due_at"), "{brought:?}");
    assert_eq!(brought["began_epoch"], AttributeValue::N("3".into()));
    assert_eq!(
        read("CONNECTION#cn_2").await.expect("kept")["refresh_token"],
        text("newer"),
        "the live table is newer"
    );
    assert!(read("ATTEMPT#at_1").await.is_none(), "an attempt of then is over");
    assert!(read("HISTORY#fernway#sync#acme").await.is_some());

    let same = latchkey(Some(&dynamodb), &["restore", "--from", TABLE, "--table", TABLE]).await;
    assert_eq!(same.status.code(), Some(1), "{}", printed(&same));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_whose_file_is_gone_is_told_and_its_keys_end_when_that_is_wished() {
    let dynamodb = DynamoDb::start(None).await;
    let store = applied(&dynamodb).await;
    let folder = copied("prune");
    std::fs::remove_file(folder.join("tidewater.toml")).expect("the file goes");
    let id = "tidewater".parse().expect("an id");
    let mut tidewater = store.product(&id).await.expect("the table answers").expect("Tidewater");
    let digest = ApiKeyDigest { id: "k1".into(), hash: Hash::of("a key") };
    tidewater.api_keys = vec![digest];
    store.put_product(&tidewater).await.expect("the table can be written");
    let keys =
        async || store.product(&id).await.expect("the table answers").expect("Tidewater").api_keys.len();
    let apply = async |more: &[&str]| {
        let folder = folder.to_str().expect("a path").to_owned();
        let done = latchkey(Some(&dynamodb), &[&["apply", &folder, "--table", TABLE], more].concat()).await;
        (done.status.code(), printed(&done))
    };

    let (code, told) = apply(&[]).await;
    assert!(code == Some(3) && told.contains("leave  tidewater") && told.contains("--prune"), "{told}");
    let (code, told) = apply(&["--prune", "--dry-run"]).await;
    assert!(code == Some(0) && told.contains("prune  tidewater"), "{told}");
    assert_eq!(keys().await, 1, "a dry run");
    let (code, told) = apply(&["--prune"]).await;
    assert!(code == Some(0) && told.contains("prune  tidewater"), "{told}");
    assert_eq!(keys().await, 0);
    let (code, told) = apply(&[]).await;
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert!(code == Some(0) && !told.contains("tidewater"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_rotation_takes_secrets_from_standard_input_and_loses_none() {
    let (dynamodb, secrets) = (DynamoDb::start(None).await, SecretsManager::start().await);
    applied(&dynamodb).await;
    let app = async |input: &str, what: &[&str]| {
        let arguments = [&["app"], what, &["fernway", "sync", "--table", TABLE]].concat();
        let done = fed(Some(&dynamodb), Some(&secrets), input, &arguments).await;
        let printed = printed(&done);
        for secret in ["first-secret", "next-secret", "other-secret"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        (done.status.code(), printed)
    };
    let product = latchkey::read_products(&products()).expect("good files").remove(0);
    let name = product.app(&"sync".parse().expect("an id")).expect("the app").secret.clone();
    let held = async || {
        let manager = Aws { secrets_manager: Some(secrets.endpoint().to_owned()), ..aws(&dynamodb) };
        let text = latchkey::deployment::SecretsManager::of(&manager).read(&name).await.expect("it answers");
        text.map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
    };
    let both = Some(json!({ "current": "first-secret", "next": "next-secret" }));

    for (input, what, code, says) in [
        ("", "stage", 1, "one word"),
        ("next-secret", "stage", 1, "could not be read"),
        ("two words", "set-secret", 1, "one word"),
        ("first-secret\n", "set-secret", 0, "is stored"),
        ("other-secret", "set-secret", 1, "is there already"),
        ("first-secret", "stage", 1, "that is the current secret"),
        ("", "finish", 1, "there is no next secret"),
        ("", "back-out", 0, "no next secret"),
        ("next-secret", "stage", 0, "functions try both"),
        ("other-secret", "stage", 1, "another next secret stands"),
        // Salesforce does not know this app, or cannot be reached from here: nothing is known, and nothing dropped.
        ("", "status", 3, "unknown"),
        ("", "finish", 1, "stays beside the current one"),
        ("", "back-out", 1, "the next secret stays"),
    ] {
        let steps = if what == "set-secret" { vec![what] } else { vec!["rotate-secret", what] };
        let (ended, told) = app(input, &steps).await;
        assert!(ended == Some(code) && told.contains(says), "{what} {input:?}: {ended:?} {told}");
    }
    assert_eq!(held().await, both);

    let (code, told) = app("", &["rotate-secret", "status", "--json", "--host", "evil.example"]).await;
    assert!(code == Some(1) && told.contains("not a Salesforce sign-in address"), "{told}");
    let (code, told) = app("other-secret", &["set-secret", "--replace", "--dry-run", "--json"]).await;
    assert!(code == Some(0) && told.contains(r#""stored":false"#), "{told}");
    assert_eq!(held().await, both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_the_operators_page_is_made_for_a_product_that_there_is_and_in_no_dry_run() {
    let dynamodb = DynamoDb::start(None).await;
    applied(&dynamodb).await;
    let link = async |more: &[&str]| {
        let link = [
            "ops",
            "link",
            "--owner",
            "olga",
            "--table",
            TABLE,
            "--public-url",
            "https://connect.example.com",
        ];
        let done = latchkey(Some(&dynamodb), &[&link[..], more].concat()).await;
        (done.status.code(), printed(&done))
    };
    let links = || dynamodb.find(TABLE, "OPSLINK#").len();

    let (code, told) = link(&["--dry-run"]).await;
    assert!(code == Some(0) && !told.contains("https://"), "{told}");
    let (code, told) = link(&["--product", "nobody"]).await;
    assert!(code == Some(1) && told.contains("the table has no product nobody"), "{told}");
    let (code, told) = link(&["--owner", ""]).await;
    assert!(code == Some(2) || told.contains("--owner must be"), "{told}");
    assert_eq!(links(), 0);

    let (code, told) = link(&["--product", "fernway", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert!(code == Some(0) && told["product"] == "fernway", "{told}");
    let url = told["url"].as_str().expect("a link");
    let key = url.strip_prefix("https://connect.example.com/ops/sign-in/").expect("the page's address");
    assert!(dynamodb.find(TABLE, key).is_empty(), "only its digest is kept");
    assert!(links() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_most_is_counted_over_all_products_and_costs_what_failed() {
    let dynamodb = DynamoDb::start(None).await;
    let store = applied(&dynamodb).await;
    let fail = async |product: &str, cause: &str, customer: i64, at: Timestamp| {
        let failure = Failure {
            id: FailureId::mint(at),
            at,
            sent_at: None,
            product: product.parse().expect("an id"),
            app: "sync".parse().expect("an id"),
            customer: Customer { id: format!("c-{customer}"), name: None },
            session: None,
            connection: None,
            org: None,
            login_host: None,
            environment: None,
            connected_before: None,
            stage: Stage::Refresh,
            evidence: evidence::our_own(Surface::TokenEndpoint, "answer_lost", None),
            cause: cause.to_owned(),
            incident: None,
            confidence: None,
            resolved: None,
            refines: None,
        };
        store.record_failure(&failure).await.expect("the table can be written");
    };
    let ago = |hours: i64| now() - SignedDuration::from_hours(hours);
    for number in 0..130_i64 {
        fail("fernway", "answer_lost", number % 7, ago(number % 20)).await;
    }
    fail("tidewater", "app_not_installed", 1, ago(1)).await;
    fail("tidewater", "app_not_installed", 1, ago(30)).await;
    dynamodb.reset_counts();

    let top = ["failures", "top", "--table", TABLE];
    let done = latchkey(Some(&dynamodb), &top).await;
    assert!(done.status.success(), "{}", printed(&done));
    let told = printed(&done);
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [
            vec!["130", "answer_lost", "refresh", "fernway/sync,", "7", "customers"],
            vec!["1", "app_not_installed", "refresh", "tidewater/sync,", "1", "customers"],
        ]
    );
    let operations = dynamodb.requests().into_iter().map(|request| request.operation);
    assert!(operations.clone().all(|operation| operation != "Scan"), "{:?}", operations.collect::<Vec<_>>());

    let longer =
        latchkey(Some(&dynamodb), &[&top[..], &["--hours", "48", "--most", "1", "--json"]].concat()).await;
    let longer: serde_json::Value = serde_json::from_str(&printed(&longer)).expect("JSON");
    assert_eq!((longer["top"].as_array().map(Vec::len), &longer["top"][0]["times"]), (Some(1), &json!(130)));
    let never = latchkey(Some(&dynamodb), &[&top[..], &["--hours", "0"]].concat()).await;
    assert!(printed(&never).contains("No failure"), "{}", printed(&never));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_says_how_far_it_is_to_a_person_and_not_to_a_file() {
    let dynamodb = DynamoDb::start(None).await;
    applied(&dynamodb).await;
    Store::new(aws(&dynamodb).dynamodb_client(), "restored").create_table().await.expect("a table");
    let restore = ["restore", "--from", "restored", "--table", TABLE];

    let filed = latchkey(Some(&dynamodb), &restore).await;
    assert!(filed.status.success() && filed.stderr.is_empty(), "{}", printed(&filed));
    // A terminal of its own, by util-linux: what is written there comes out of it.
    let mut terminal = std::process::Command::new("script");
    let command = [&[env!("CARGO_BIN_EXE_latchkey")], &restore[..]].concat().join(" ");
    terminal.args(["-qec", &command, "/dev/null"]).env_clear().envs(environment(&dynamodb));
    terminal.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").stdin(Stdio::null());
    let shown =
        tokio::task::spawn_blocking(move || terminal.output().expect("script runs")).await.expect("it ends");
    assert!(shown.status.success() && printed(&shown).contains("\r0 items read"), "{}", printed(&shown));
}

#[tokio::test]
async fn completions_know_every_command_in_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = printed(&latchkey(None, &["completions", shell]).await);
        for command in [
            "apply",
            "import",
            "key",
            "app",
            "keyring",
            "failures",
            "ops",
            "doctor",
            "restore",
            "rotate-secret",
        ] {
            assert!(completions.contains(command), "{shell} {command}");
        }
    }
}
