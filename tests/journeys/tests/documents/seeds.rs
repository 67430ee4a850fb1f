//! `docs/seeds.md`, row by row: what five support articles tell people stands on our pages, for five products
//! in the manner of theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use journeys::Story;
use local::Options;
use serde_json::json;
use world::browser::Page;

const SEEDS: &str = include_str!("../../../../docs/seeds.md");

/// A step or fact of an article.
struct Row {
    /// `1.07`: article and row.
    number: &'static str,
    fact: &'static str,
    place: Place,
    /// What the page says; or, where it is not ours to say, why.
    text: &'static str,
    test: &'static str,
}

/// Where it shows. An app is named `product/app`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Place {
    Guide(&'static str),
    Connect(&'static str),
    Trouble(&'static str),
    /// Its help page, once its user has told what Salesforce showed.
    Help(&'static str, &'static str),
    NotOurs,
}

impl Row {
    /// Rows are the table lines that begin with a number.
    fn of(line: &'static str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let number = cells[0];
        number.starts_with(|first: char| first.is_ascii_digit()).then(|| {
            let [_, fact, place, text, test] = cells[..] else { panic!("not five cells: {line}") };
            let test = test.trim_matches('`');
            Self { number, fact, place: Place::of(place), text, test }
        })
    }
}

impl Place {
    fn of(cell: &'static str) -> Self {
        let spans: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        match spans[..] {
            [path] if path.starts_with("/guides/") => Self::Guide(path),
            ["/connect/…", app] => Self::Connect(app),
            ["/connect/…/trouble", app] => Self::Trouble(app),
            ["/help/…", app, told] => Self::Help(app, told),
            [] if cell == "not ours" => Self::NotOurs,
            _ => panic!("no page is meant by {cell}"),
        }
    }
}

fn rows() -> Vec<Row> {
    SEEDS.lines().filter_map(Row::of).collect()
}

/// The example products' stack.
async fn examples() -> Story {
    let products = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/products/examples"));
    Story::with(Options { products, ..Options::for_tests() }).await
}

/// A connect link that a user of that app was given.
async fn link(story: &Story, app: &str) -> String {
    let (product, app) = app.split_once('/').expect("product/app");
    let key = story.stack.api_key(product).expose().to_owned();
    let wish = json!({
        "app": app,
        "customer": { "id": "c-acme", "name": "Acme Corporation" },
        "user": "u-alice",
        "return_to": format!("{}/salesforce/return", story.stack.product),
    });
    let made = story.call_with(&key, &[], "POST", "/v1/connect-sessions", Some(wish.to_string())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.text("connect_url").to_owned()
}

async fn open(story: &Story, place: Place) -> Page {
    let browser = story.stack.browser();
    let page = match place {
        Place::Guide(path) => return reach_guide(story, path).await,
        Place::Connect(app) => browser.get(&link(story, app).await).await,
        Place::Trouble(app) => browser.get(&format!("{}/trouble", link(story, app).await)).await,
        Place::Help(app, told) => {
            let trouble = browser.get(&format!("{}/trouble", link(story, app).await)).await;
            trouble.fill("pasted", told).click("Show me what to do").await
        }
        Place::NotOurs => unreachable!("it has no page"),
    };
    assert_eq!(page.status, 200, "{place:?}: {}", page.text());
    page
}

/// A guide, reached from a help page of its app as a person reaches it.
async fn reach_guide(story: &Story, path: &'static str) -> Page {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let app = format!("{}/{}", parts[0], parts[1]);
    let trouble = story.stack.browser().get(&format!("{}/trouble", link(story, &app).await)).await;
    let help = trouble.fill("pasted", "OAUTH_APP_BLOCKED").click("Show me what to do").await;
    let (_, guide) = help.links().into_iter().find(|(_, to)| to.contains("/guides/")).expect("the guide");
    let mut page = help.open(&guide).await;
    if parts.len() > 2 {
        page = page.click(&format!("For the engineers of {}", brand(story, parts[0]))).await;
    }
    if parts.last() == Some(&"packaging") {
        let (_, packaging) =
            page.links().into_iter().find(|(_, to)| to.ends_with("/packaging")).expect("the guide");
        page = page.open(&packaging).await;
    }
    assert_eq!((page.status, page.url.path()), (200, path), "{}", page.text());
    page
}

fn brand<'a>(story: &'a Story, product: &str) -> &'a str {
    let found = story.stack.products.iter().find(|known| known.id.as_str() == product);
    &found.expect("a product").brand.name
}

/// Whether one sentence, heading, field or list of the page has these words: not several that happen to stand in a row.
fn says(page: &Page, words: &str) -> bool {
    let parts = "p, li, dd, dt, summary, h1, h2, h3, h4, label, legend, fieldset, pre, code, td, a, button, nav, details, dl > div, aside > section";
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    page.all(parts).iter().any(|part| part.split_whitespace().collect::<Vec<_>>().join(" ").contains(&words))
}

/// Every row of the article, on its page. `name` is the test that the rows have to name.
async fn shows(article: &str, name: &str) {
    let story = examples().await;
    let mine: Vec<Row> = rows().into_iter().filter(|row| row.number.starts_with(article)).collect();
    let places: BTreeSet<Place> = mine.iter().map(|row| row.place).collect();
    let mut pages: BTreeMap<Place, Page> = BTreeMap::new();
    for place in places.into_iter().filter(|place| *place != Place::NotOurs) {
        pages.insert(place, open(&story, place).await);
    }
    let mut gone = Vec::new();
    for row in &mine {
        assert_eq!(row.test, name, "{}", row.number);
        if pages.get(&row.place).is_some_and(|page| !says(page, row.text)) {
            gone.push(format!("{} ({}) is no longer on {:?}: {}", row.number, row.fact, row.place, row.text));
        }
    }
    assert!(pages.len() > 2, "{name} has pages to look at");
    assert_eq!(gone, Vec::<String>::new());
}

#[tokio::test]
async fn revenue_intelligence() {
    shows("1.", "revenue_intelligence").await;
}

#[tokio::test]
async fn embedded_integrations() {
    shows("2.", "embedded_integrations").await;
}

#[tokio::test]
async fn security_reviews() {
    shows("3.", "security_reviews").await;
}

#[tokio::test]
async fn devops_and_backup() {
    shows("4.", "devops_and_backup").await;
}

#[tokio::test]
async fn backup_with_the_customers_own_app() {
    shows("5.", "backup_with_the_customers_own_app").await;
}

/// A row that is cut, or whose number is not the next, would go unnoticed.
#[test]
fn the_rows_are_numbered_without_a_gap() {
    let rows = rows();
    let mut last = (0, 0);
    for row in &rows {
        let (article, number) = row.number.split_once('.').expect("article.row");
        let now: (u32, u32) = (article.parse().expect("a number"), number.parse().expect("a number"));
        let next = now == (last.0, last.1 + 1) || now == (last.0 + 1, 1);
        assert!(next, "{} follows {last:?}", row.number);
        assert!(!row.fact.is_empty() && !row.text.is_empty(), "{}", row.number);
        last = now;
    }
    assert_eq!(last.0, 5, "five articles");
    let not_ours = rows.iter().filter(|row| row.place == Place::NotOurs).count();
    assert!(not_ours * 5 < rows.len(), "{not_ours} of {} rows are not ours", rows.len());
}

/// A guide tells nothing of a customer, is not for search engines, and no guess leads to one.
#[tokio::test]
async fn a_guide_is_public_and_of_a_product_that_there_is() {
    let story = examples().await;
    let guide = open(&story, Place::Guide("/guides/harrow/data-sync")).await;
    assert!(guide.body.contains(r#"<meta name="robots" content="noindex, nofollow">"#));
    assert!(guide.links().iter().all(|(_, to)| !to.contains("/connect/") && !to.contains("/help/")));
    assert!(
        guide
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
    );
    assert_eq!(guide.header("set-cookie"), None);
    for wrong in
        ["/guides/harrow/none", "/guides/none/data-sync", "/guides/Harrow!/x", "/guides/harrow/none/vendor"]
    {
        let page = story.stack.browser().get(&format!("{}{wrong}", story.stack.latchkey)).await;
        assert_eq!((page.status, page.heading().as_str()), (404, "There is no page here"), "{wrong}");
    }
}

/// What an engineer copies is what the functions send.
#[tokio::test]
async fn the_vendor_guide_shows_our_own_callback_and_the_apps_scopes() {
    let story = examples().await;
    let guide = open(&story, Place::Guide("/guides/loomwork/connect/vendor")).await;
    assert_eq!(guide.all("#callback-copy"), [format!("{}/oauth/callback", story.stack.latchkey)]);
    assert_eq!(guide.all("#scopes-copy"), ["api refresh_token openid"]);
}

/// Every help page of a customer's leads to the guide; the guide's other readers find theirs.
#[tokio::test]
async fn a_help_page_leads_to_the_guide() {
    let story = examples().await;
    let help = open(&story, Place::Help("harrow/data-sync", "OAUTH_APP_BLOCKED")).await;
    let (_, guide) = help.links().into_iter().find(|(_, to)| to.contains("/guides/")).expect("the guide");
    let guide = story.stack.browser().get(&guide).await;
    assert_eq!(guide.heading(), "Set up Salesforce for Harrow");
    let vendor = guide.click("For the engineers of Harrow").await;
    assert!(vendor.has("Set the callback URL"), "{}", vendor.text());
    let back = vendor.click("For the customer’s Salesforce admin").await;
    assert_eq!(back.url, guide.url);
}

/// Where the customer owns the app, its settings are the customer's admin's to fix, and the guide is theirs.
#[tokio::test]
async fn what_is_wrong_with_a_customers_own_app_is_its_admins_to_fix() {
    let story = examples().await;
    let told = "error=redirect_uri_mismatch&error_description=redirect_uri must match configuration";
    let theirs = open(&story, Place::Help("coldvault/own-app", told)).await;
    assert!(theirs.has("Send this page to your Salesforce admin"), "{}", theirs.text());
    assert!(
        theirs.all("#admin li").iter().any(|step| step.contains("look at Callback URL")),
        "{}",
        theirs.text()
    );
    for sorry in ["We are sorry", "fault on our side", "needs to fix this"] {
        assert!(!theirs.has(sorry), "{sorry}: {}", theirs.text());
    }
    let vendors = open(&story, Place::Help("harrow/sign-in", told)).await;
    assert!(vendors.has("fault on our side") && !vendors.has("look at Callback URL"), "{}", vendors.text());

    let guide = open(&story, Place::Guide("/guides/coldvault/own-app")).await;
    assert!(guide.has("Your company owns “Coldvault for Salesforce”"), "{}", guide.text());
    assert_eq!(guide.all("#own-callback-copy"), [format!("{}/oauth/callback", story.stack.latchkey)]);
    let engineers = guide.click("For the engineers of Coldvault").await;
    assert!(engineers.has("Each customer creates its own app"), "{}", engineers.text());
    let other = open(&story, Place::Guide("/guides/harrow/data-sync")).await;
    assert!(!other.has("Create your own app"), "{}", other.text());
}

/// The API and the operators' pages say the same: the customer's admin acts, and no incident of the product's is made of it.
#[tokio::test]
async fn owner_of_the_app_acts_on_every_surface() {
    let story = examples().await;
    let told = "error=redirect_uri_mismatch&error_description=redirect_uri must match configuration";
    for (app, actor, acts) in [
        ("coldvault/own-app", "admin", "Their Salesforce admin has to act."),
        ("harrow/sign-in", "vendor", "You need to fix this."),
    ] {
        let (product, _) = app.split_once('/').expect("product/app");
        open(&story, Place::Help(app, told)).await;
        story.stack.tally().await;
        let key = story.stack.api_key(product).expose().to_owned();
        let api = story.call_with(&key, &[], "GET", "/v1/failures", None).await;
        let failures = api.body["failures"].as_array().expect("a list").clone();
        assert_eq!(failures[0]["actor"], actor, "{}", api.body);

        let (browser, _) = story.runner().await;
        let href = format!("{}?product={product}", story.ops());
        let page = browser.get(&href).await;
        let who = if actor == "admin" { "customer’s admin" } else { "product team" };
        assert!(page.all("[aria-labelledby=causes] tbody tr")[0].contains(who), "{}", page.text());
        let list = format!("{}/failures?product={product}&cause=redirect_uri_mismatch", story.ops());
        let list = browser.get(&list).await;
        assert!(list.has(acts), "{}", list.text());
        let reference = failures[0]["reference"].as_str().expect("a reference");
        let found = browser.get(&format!("{href}&ref={reference}")).await;
        assert!(found.has(&format!("A help page: {acts}")), "{}", found.text());
    }
}

/// There is a guide on packaging for external client apps of the vendor, and for no other.
#[tokio::test]
async fn packaging_guide_is_for_external_client_apps() {
    let story = examples().await;
    let guide = open(&story, Place::Guide("/guides/loomwork/connect/packaging")).await;
    assert!(guide.all("#version-copy").concat().contains("sf package version create"), "{}", guide.text());
    for other in ["/guides/loomwork/classic/packaging", "/guides/coldvault/own-app/packaging"] {
        let page = story.stack.browser().get(&format!("{}{other}", story.stack.latchkey)).await;
        assert_eq!(page.status, 404, "{other}");
    }
}
