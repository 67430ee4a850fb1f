//! The operator's command as an operator runs it, against an embedded DynamoDB.

use std::{path::PathBuf, process::Output};

use aws_sdk_dynamodb::types::AttributeValue;
use service::platform::Aws;
use store::Store;
use world::dynamodb::DynamoDb;

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
    }
}

async fn latchkey(dynamodb: Option<&DynamoDb>, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env_clear();
    if let Some(dynamodb) = dynamodb {
        command.envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint()),
        ]);
    }
    tokio::task::spawn_blocking(move || command.output().expect("the command runs")).await.expect("it ends")
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

#[tokio::test]
async fn completions_know_every_command() {
    let completions = printed(&latchkey(None, &["completions", "bash"]).await);
    for command in ["apply", "key", "app", "keyring", "failures", "doctor", "restore"] {
        assert!(completions.contains(&format!("latchkey__subcmd__{command}")), "{command}");
    }
}
