//! The operator's command as an operator runs it, against an embedded DynamoDB.

use std::{path::PathBuf, process::Output};

use service::platform::Aws;
use store::Store;
use world::dynamodb::DynamoDb;

const TABLE: &str = "latchkey-dev";

fn products() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../products"))
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
    let aws = Aws {
        region: "eu-central-1".into(),
        credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
        dynamodb: Some(dynamodb.endpoint().to_owned()),
        secrets_manager: None,
    };
    let store = Store::new(aws.dynamodb_client(), TABLE);
    store.create_table().await.expect("a table");
    let folder = products();
    let apply = ["apply", folder.to_str().expect("a path"), "--table", TABLE];

    let first = latchkey(Some(&dynamodb), &apply).await;
    assert!(first.status.success(), "{}", printed(&first));
    assert!(printed(&first).contains("created  fernway"), "{}", printed(&first));
    let second = latchkey(Some(&dynamodb), &apply).await;
    assert!(printed(&second).contains("unchanged  fernway"), "{}", printed(&second));

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

#[tokio::test]
async fn a_minted_key_is_admitted_by_its_digest() {
    let minted = latchkey(None, &["key", "mint", "fernway", "--id", "k7"]).await;
    let printed = printed(&minted);
    let key = printed.split_whitespace().find(|word| word.starts_with("lk_fernway_k7_")).expect("a key");
    let digest = domain::secret::ApiKey::new(key).hash();
    assert!(printed.contains(&format!("hash = \"{}\"", digest.as_str())), "the digest is the key's");
}
