//! Products come from files; the local stack is what the template deploys.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use journeys::Story;
use local::{Options, functions::ROUTES};

/// Bytes of a page, its style and script included.
const MOST_OF_A_PAGE: usize = 36_000;

fn template() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/template.yaml"))
        .expect("the template")
}

#[test]
fn the_local_port_serves_the_templates_routes_and_no_others() {
    let template = template();
    let mut deployed: Vec<&str> = template
        .split("RouteKey: \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(route, _)| route)
        .collect();
    let mut local: Vec<String> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    local.push("$default".into());
    deployed.sort_unstable();
    local.sort_unstable();
    assert_eq!(deployed, local);
}

#[test]
fn the_templates_table_is_the_one_that_the_local_stack_creates() {
    let template = template();
    let listed = format!("NonKeyAttributes: [{}]\n", store::schema::LISTED.join(", "));
    assert_eq!(template.matches(&listed).count(), 2, "listing and customer carry {listed}");
    assert!(template.contains(&format!("NonKeyAttributes: [{}]}}", store::schema::COUNTED.join(", "))));
    for part in [
        "IndexName: listing",
        "{AttributeName: listing_pk, KeyType: HASH}",
        "{AttributeName: listing_sk, KeyType: RANGE}",
        "IndexName: customer",
        "{AttributeName: customer_pk, KeyType: HASH}",
        "IndexName: grants",
        "{AttributeName: grants_pk, KeyType: HASH}",
        "IndexName: failures",
        "{AttributeName: failures_pk, KeyType: HASH}",
        "Projection: {ProjectionType: ALL}",
        "StreamViewType: NEW_AND_OLD_IMAGES",
        "IndexName: due",
        "{AttributeName: due_shard, KeyType: HASH}",
        "{AttributeName: due_at, KeyType: RANGE}",
    ] {
        assert!(template.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_bad_product_file_stops_the_stack_and_says_where() {
    let folder = std::env::temp_dir().join(format!("latchkey-products-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let good =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/products/fernway.toml"));
    std::fs::write(
        folder.join("fernway.toml"),
        good.unwrap().replace("kind = \"connected_app\"", "kind = \"conected_app\""),
    )
    .unwrap();

    let refused =
        local::Stack::start(Options { products: folder.clone(), ..Options::for_tests() }).await.unwrap_err();

    std::fs::remove_dir_all(&folder).unwrap();
    let said = refused.to_string();
    assert!(said.contains("fernway.toml:16: apps[0].kind:"), "{said}");
    assert!(said.contains("connected_app"), "it says what may stand there: {said}");
}

/// A page brings its style and script along, and nobody waits for a guide: bytes, of each app of ours and of the examples.
#[tokio::test]
async fn every_guide_is_a_small_page() {
    let mut large = Vec::new();
    for folder in ["products", "products/examples"] {
        let products = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra").join(folder);
        let story = Story::with(Options { products, ..Options::for_tests() }).await;
        let browser = story.stack.browser();
        for product in &story.stack.products {
            for app in &product.apps {
                for readers in ["", "/vendor"] {
                    let path = format!("/guides/{}/{}{readers}", product.id, app.id);
                    let page = browser.get(&format!("{}{path}", story.stack.latchkey)).await;
                    assert_eq!(page.status, 200, "{path}");
                    if page.body.len() >= MOST_OF_A_PAGE {
                        large.push(format!("{path}: {} bytes", page.body.len()));
                    }
                }
            }
        }
    }
    assert_eq!(large, Vec::<String>::new());
}

#[tokio::test]
async fn a_data_folder_keeps_connections_and_keys() {
    let folder = std::env::temp_dir().join(format!("latchkey-data-{}", std::process::id()));
    let options = || Options { data: Some(folder.clone()), ..Options::for_tests() };
    let (connection, key) = {
        let story = Story::with(options()).await;
        story.install("sync");
        (story.connected().await, story.stack.api_key("fernway").expose().to_owned())
    };

    let story = Story::with(options()).await;

    assert_eq!(story.stack.api_key("fernway").expose(), key);
    let token = story.token(&connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert!(Path::new(&folder).join("keys.json").exists());
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else on this machine reads the table");
    std::fs::remove_dir_all(&folder).unwrap();
}
