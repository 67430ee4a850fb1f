//! An operator brings a product's refresh tokens by `latchkey import`: the command itself, against the whole stack on
//! this machine.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use journeys::Story;
use local::stack::TABLE;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use world::{
    dynamodb::{Fault as TableFault, Which},
    salesforce::{Fault, PermittedUsers, User},
};

/// Fernway, which has tokens of users at Acme, and the folder where its operator works.
struct Desk {
    story: Story,
    folder: PathBuf,
    key: String,
    url: String,
}

/// How the command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    printed: String,
    errors: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), printed: text(&output.stdout), errors: text(&output.stderr) }
    }
}

impl Ended {
    /// The objects of `--json`: one a row, by its line, and the sums.
    fn json(&self) -> (BTreeMap<u64, Value>, Value) {
        let mut all: Vec<Value> =
            self.printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let last = all.pop().expect("the sums");
        let rows = all.into_iter().map(|row| (row["line"].as_u64().expect("a line"), row)).collect();
        (rows, last["sums"].clone())
    }
}

impl Desk {
    async fn begin() -> Self {
        let story = Story::installed().await;
        let key = story.stack.api_key("fernway").expose().to_owned();
        let folder = std::env::temp_dir().join(format!(
            "latchkey-import-{}-{}",
            std::process::id(),
            story.stack.latchkey.rsplit(':').next().expect("a port")
        ));
        std::fs::create_dir_all(&folder).expect("a folder");
        let url = story.stack.latchkey.clone();
        Self { story, folder, key, url }
    }

    /// The refresh token of a new user at Acme, got before there was Latchkey.
    fn held(&self, number: usize) -> String {
        let username = format!("user{number}@acme.example");
        let user = User {
            id: format!("005gK00{:08}QAA", 5000 + number),
            username: username.clone(),
            ..self.story.stack.salesforce.org("acme").users[1].clone()
        };
        self.story.stack.salesforce.change_org("acme", |org| org.users.push(user));
        let key = &self.story.stack.app("fernway", "sync").consumer_key;
        let granted = self.story.stack.salesforce.granted("acme", &username, key);
        let token = granted["refresh_token"].as_str().expect("a refresh token").to_owned();
        self.story.secrets.keep("held token", &token);
        token
    }

    /// So many rows, each of a customer of its own.
    fn rows(&self, many: usize) -> Vec<Value> {
        (1..=many).map(|number| row(number, &self.held(number))).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.join("tokens.jsonl")
    }

    fn write(&self, lines: &[String]) {
        std::fs::write(self.file(), lines.join("\n") + "\n").expect("a file");
        std::fs::set_permissions(self.file(), Permissions::from_mode(0o644)).expect("a file");
    }

    fn write_rows(&self, rows: &[Value]) {
        self.write(&rows.iter().map(Value::to_string).collect::<Vec<_>>());
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.env_clear().env("LATCHKEY_API_KEY", &self.key);
        command.arg("import").arg(self.file()).args(["--url", &self.url]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn import(&self, more: &[&str]) -> Ended {
        let ended: Ended = self.command(more).output().await.expect("the command runs").into();
        for token in self.tokens() {
            assert!(!ended.printed.contains(&token) && !ended.errors.contains(&token), "{ended:?}");
        }
        assert!(!ended.printed.contains(&self.key) && !ended.errors.contains(&self.key), "{ended:?}");
        ended
    }

    fn begin_import(&self, more: &[&str]) -> Child {
        self.command(more).spawn().expect("the command starts")
    }

    /// Every refresh token that there is or was.
    fn tokens(&self) -> Vec<String> {
        let grants = self.story.stack.salesforce.grants();
        grants.into_iter().flat_map(|grant| grant.spent.into_iter().chain(grant.refresh_token)).collect()
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.folder.join(format!("tokens.jsonl.{what}"))
    }

    /// The rejected rows, by line. The file, like the journal, holds no token and is nobody else's to read.
    fn rejected(&self) -> BTreeMap<u64, Value> {
        for what in ["journal", "rejected.jsonl"] {
            let text = std::fs::read_to_string(self.beside(what)).expect(what);
            assert!(self.tokens().iter().all(|token| !text.contains(token)), "{what}: {text}");
            let mode = self.beside(what).metadata().expect(what).permissions().mode();
            assert_eq!(mode & 0o077, 0, "{what}");
        }
        let text = std::fs::read_to_string(self.beside("rejected.jsonl")).expect("the file");
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        rows.map(|row| (row["line"].as_u64().expect("a line"), row)).collect()
    }

    /// How many tokens were sent to Salesforce.
    fn sent(&self) -> usize {
        self.story.stack.salesforce.token_calls().len()
    }

    /// The customers that are connected, with how many connections each has.
    async fn connected(&self) -> BTreeMap<String, usize> {
        let mut connected = BTreeMap::new();
        let mut path = "/v1/connections".to_owned();
        loop {
            let listed = self.story.call("GET", &path, None).await;
            for connection in listed.body["connections"].as_array().expect("a list") {
                let customer = connection["customer"]["id"].as_str().expect("a customer").to_owned();
                *connected.entry(customer).or_default() += 1;
            }
            match listed.body["next"].as_str() {
                Some(next) => path = format!("/v1/connections?after={next}"),
                None => return connected,
            }
        }
    }

    /// Waits until so many tokens were sent.
    async fn until_sent(&self, many: usize) {
        let patience = Instant::now() + Duration::from_secs(30);
        while self.sent() < many {
            assert!(Instant::now() < patience, "only {} tokens were sent", self.sent());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing is under way any more: Lambda goes on when its caller has gone.
    async fn until_quiet(&self) {
        let mut quiet_since = Instant::now();
        let patience = quiet_since + Duration::from_secs(30);
        let mut seen = self.story.stack.dynamodb.requests().len();
        while quiet_since.elapsed() < Duration::from_secs(1) {
            assert!(Instant::now() < patience, "it goes on and on");
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.story.stack.dynamodb.requests().len();
            if now != seen {
                (seen, quiet_since) = (now, Instant::now());
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What is left of it does no harm in a temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn row(number: usize, token: &str) -> Value {
    json!({
        "app": "sync",
        "customer": { "id": format!("c-{number}"), "name": format!("Customer {number}") },
        "user": format!("u-{number}"),
        "environment": "production",
        "refresh_token": token,
    })
}

fn signal(child: &Child, which: &str) {
    let id = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill").args([which, &id]).status().expect("kill");
    assert!(sent.success());
}

async fn end(child: Child) -> Ended {
    child.wait_with_output().await.expect("it ends").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn good_rows_are_imported_and_every_other_is_named_with_what_to_do() {
    let desk = Desk::begin().await;
    let mut rows = desk.rows(6);
    desk.story.stack.salesforce.revoke_grants("acme", "user3@acme.example");
    rows[3]["app"] = json!("none");
    let mut lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    lines.insert(1, String::new());
    lines.push(lines[0].clone());
    let mut other_customer = rows[1].clone();
    other_customer["customer"]["id"] = json!("c-99");
    lines.push(other_customer.to_string());
    lines.push(rows[5].to_string().trim_end_matches('}').to_owned());
    lines.push(json!({ "customer": { "id": "c-7" }, "user": "u-7" }).to_string());
    desk.write(&lines);
    desk.story.stack.salesforce.forget_calls();

    let ended = desk.import(&[]).await;

    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("can be read by others: chmod 600"), "{ended:?}");
    assert_eq!(desk.connected().await.into_keys().collect::<Vec<_>>(), ["c-1", "c-2", "c-5", "c-6"]);
    assert_eq!(desk.sent(), 5, "the four good ones and the dead one, once each");
    let rejected = desk.rejected();
    assert_eq!(rejected.keys().copied().collect::<Vec<_>>(), [4, 5, 9, 10, 11], "{rejected:?}");
    let of = |line: u64, member: &str| rejected[&line][member].as_str().unwrap_or("none").to_owned();
    assert_eq!((of(4, "customer"), of(4, "problem")), ("c-3".into(), "import-refused".into()));
    assert_eq!((of(4, "cause"), of(4, "actor")), ("grant_expired_or_revoked".into(), "end_user".into()));
    assert_eq!(desk.story.stack.browser().get(&of(4, "help_url")).await.status, 200, "its page opens");
    assert_eq!((of(5, "problem"), of(5, "customer")), ("bad-request".into(), "c-4".into()));
    assert!(of(5, "detail").contains("app"), "{}", rejected[&5]);
    assert!(of(9, "detail").contains("line 3"), "{}", rejected[&9]);
    assert!(of(10, "detail").contains("not JSON at column"), "{}", rejected[&10]);
    assert!(of(11, "detail").contains("refresh_token is missing"), "{}", rejected[&11]);
    for line in [4, 5, 9, 10, 11] {
        assert!(ended.printed.contains(&format!("line {line}  ")), "{}", ended.printed);
    }
    for sum in ["4  imported", "1  repeated in the file", "5  rejected"] {
        assert!(ended.printed.contains(sum), "{sum}: {}", ended.printed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_brings_what_was_put_right_and_leaves_the_rest_alone() {
    let desk = Desk::begin().await;
    let mut rows = desk.rows(4);
    desk.story.stack.salesforce.revoke_grants("acme", "user2@acme.example");
    rows[2]["environment"] = json!("somewhere");
    desk.write_rows(&rows);
    assert_eq!(desk.import(&[]).await.code, Some(1));
    desk.story.stack.salesforce.forget_calls();
    desk.story.stack.dynamodb.reset_counts();

    rows[2]["environment"] = json!("production");
    desk.write_rows(&rows);
    let again = desk.import(&["--json"]).await;

    let (told, sums) = again.json();
    assert_eq!(again.code, Some(1), "{again:?}");
    let outcomes: Vec<&str> = told.values().map(|row| row["outcome"].as_str().expect("a word")).collect();
    assert_eq!(outcomes, ["imported_before", "rejected", "imported", "imported_before"]);
    assert_eq!(told[&2]["cause"], "grant_expired_or_revoked", "as the journal has it");
    assert_eq!((&sums["imported"], &sums["imported_before"]), (&json!(1), &json!(2)));
    assert_eq!(desk.sent(), 1, "the one that was put right");
    assert_eq!(desk.rejected().into_keys().collect::<Vec<_>>(), [2]);

    rows.remove(1);
    desk.write_rows(&rows);
    let done = desk.import(&[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!desk.beside("rejected.jsonl").exists(), "nothing is rejected");
    assert_eq!(desk.sent(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_admin_has_put_right_is_brought_by_the_next_run() {
    let desk = Desk::begin().await;
    let app = desk.story.stack.app("fernway", "sync").consumer_key.clone();
    let salesforce = &desk.story.stack.salesforce;
    desk.write_rows(&desk.rows(1));
    salesforce.set_permitted_users("acme", &app, PermittedUsers::AdminApprovedPreAuthorized);
    assert_eq!(desk.import(&[]).await.code, Some(1));
    assert_eq!(desk.rejected()[&1]["actor"], "admin", "{:?}", desk.rejected());
    salesforce.set_permitted_users("acme", &app, PermittedUsers::AllSelfAuthorize);
    salesforce.block("acme", &app);
    assert_eq!(desk.import(&[]).await.code, Some(1));
    assert_eq!(desk.rejected()[&1]["actor"], "end_user", "Salesforce does not say that it is blocked");

    salesforce.unblock("acme", &app);
    desk.story.pass(SignedDuration::from_mins(11));
    let again = desk.import(&[]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(desk.connected().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_rotation_each_token_is_spent_once_and_its_successor_is_latchkeys() {
    let desk = Desk::begin().await;
    let rows = desk.rows(3);
    desk.write_rows(&rows);
    desk.story.stack.salesforce.forget_calls();

    let ended = desk.import(&["--json"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (told, _) = ended.json();
    assert!(told.values().all(|row| row["rotated"] == true), "{told:?}");
    assert_eq!(desk.sent(), 3);
    let grants = desk.story.stack.salesforce.live_grants();
    for row in &rows {
        let held = row["refresh_token"].as_str().expect("a token");
        let grant = grants.iter().find(|grant| grant.spent.iter().any(|spent| spent == held));
        assert_eq!(grant.expect("its grant stands, and the product's copy is spent").spent.len(), 1);
    }
    // Latchkey goes on with the successors.
    desk.story.pass(SignedDuration::from_mins(16));
    for row in told.values() {
        let token = desk.story.token(row["connection_id"].as_str().expect("an id")).await;
        assert_eq!(desk.story.salesforce_says(&token).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_nothing_to_salesforce_and_writes_no_file() {
    let desk = Desk::begin().await;
    let mut rows = desk.rows(3);
    rows[2]["app"] = json!("none");
    desk.write_rows(&rows);
    let before = desk.story.stack.dynamodb.dump(TABLE);
    desk.story.stack.salesforce.forget_calls();

    let dry = desk.import(&["--dry-run", "--json"]).await;

    assert_eq!(dry.code, Some(1), "{dry:?}");
    let (told, sums) = dry.json();
    assert_eq!((&sums["would_import"], &sums["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(told[&3]["problem"], "bad-request");
    assert_eq!(desk.story.stack.salesforce.calls().len(), 0, "Salesforce heard nothing");
    assert_eq!(desk.story.stack.dynamodb.dump(TABLE), before, "and nothing was written");
    let files: Vec<_> = std::fs::read_dir(&desk.folder).expect("the folder").flatten().collect();
    assert_eq!(files.len(), 1, "the input alone: {files:?}");

    rows.remove(2);
    desk.write_rows(&rows);
    assert_eq!(desk.import(&[]).await.code, Some(0), "every token was still good");
    let dry = desk.import(&["--dry-run", "--json"]).await;
    assert_eq!(dry.json().1["imported_before"], 2);
    assert_eq!(dry.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on_and_sends_no_token_twice() {
    const ROWS: usize = 10;
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(ROWS));
    desk.story.stack.salesforce.forget_calls();
    desk.story.stack.salesforce.set_token_latency(Duration::from_millis(150));

    let mut first = desk.begin_import(&["--concurrency", "2"]);
    desk.until_sent(4).await;
    first.kill().await.expect("kill -9");
    desk.until_quiet().await;
    let sent = desk.sent();
    assert!((4..ROWS).contains(&sent), "killed in the middle: {sent} of {ROWS}");
    // The last line that it wrote is torn.
    let journal = std::fs::read(desk.beside("journal")).expect("a journal");
    std::fs::write(desk.beside("journal"), &journal[..journal.len() - 5]).expect("a journal");

    let again = desk.import(&["--json"]).await;

    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(desk.sent(), ROWS, "each token once");
    assert_eq!(desk.connected().await.len(), ROWS);
    assert!(desk.connected().await.into_values().all(|connections| connections == 1));
    let (_, sums) = again.json();
    assert_eq!(sums["imported"], ROWS - sent, "{sums}");
    assert_eq!(sums["imported_before"], sent, "{sums}");
    assert_eq!(desk.story.stack.salesforce.live_grants().len(), ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_finishes_what_was_sent_and_the_next_run_does_the_rest() {
    const ROWS: usize = 8;
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(ROWS));
    desk.story.stack.salesforce.forget_calls();
    desk.story.stack.salesforce.set_token_latency(Duration::from_millis(300));

    let first = desk.begin_import(&["--concurrency", "2", "--json"]);
    desk.until_sent(2).await;
    signal(&first, "-INT");
    let first = end(first).await;

    assert_eq!(first.code, Some(130), "{first:?}");
    let (told, sums) = first.json();
    assert_eq!(told.len(), desk.sent(), "what was sent was also told: {first:?}");
    assert_eq!(desk.connected().await.len(), desk.sent());
    assert_eq!(sums["not_tried"], ROWS - desk.sent(), "{sums}");
    assert!(desk.sent() < ROWS && first.errors.contains("goes on from here"), "{first:?}");

    assert_eq!(desk.import(&[]).await.code, Some(0));
    assert_eq!(desk.sent(), ROWS, "each token once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_file_at_once_are_refused() {
    const ROWS: usize = 12;
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(ROWS));
    desk.story.stack.salesforce.forget_calls();
    desk.story.stack.salesforce.set_token_latency(Duration::from_millis(300));

    let first = desk.begin_import(&["--concurrency", "1"]);
    desk.until_sent(1).await;
    let second = desk.import(&[]).await;

    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.errors.contains("another import of the same file is running"), "{second:?}");
    assert_eq!(end(first).await.code, Some(0));
    assert_eq!(desk.sent(), ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_address_is_found_before_any_row_is_sent() {
    let mut desk = Desk::begin().await;
    desk.write_rows(&desk.rows(1));
    desk.story.stack.salesforce.forget_calls();
    let (key, url) = (desk.key.clone(), desk.url.clone());

    let last = if key.ends_with('x') { 'y' } else { 'x' };
    desk.key = format!("{}{last}", &key[..key.len() - 1]);
    let refused = desk.import(&[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.errors.contains("does not take this API key"), "{refused:?}");
    desk.key = "Bearer secret-of-another-kind".into();
    let refused = desk.import(&[]).await;
    assert!(refused.code == Some(2) && refused.errors.contains("begins with lk_"), "{refused:?}");
    let none = desk.command(&[]).env_remove("LATCHKEY_API_KEY").output().await.expect("it runs");
    let none = Ended::from(none);
    assert!(none.code == Some(2) && none.errors.contains("--key-file"), "{none:?}");
    desk.key = key;

    for (address, says) in [
        ("http://localhost:1".to_owned(), "does not answer"),
        (desk.story.stack.product.clone(), "not as Latchkey does"),
        ("http://connect.fernway.example".to_owned(), "is not an address for tokens"),
        ("https://name:password@connect.fernway.example".to_owned(), "is not an address for tokens"),
    ] {
        desk.url = address;
        let refused = desk.import(&[]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.errors.contains(says) && !refused.errors.contains("password"), "{refused:?}");
    }
    assert_eq!(desk.sent(), 0);

    desk.url = url;
    let file = desk.folder.join("key");
    std::fs::write(&file, format!("{}\n", desk.key)).expect("a file");
    desk.key = "not used".into();
    let good = desk.import(&["--key-file", file.to_str().expect("a path")]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salesforce_that_is_busy_costs_no_row_and_the_next_run_brings_it() {
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(2));
    desk.story.stack.salesforce.queue_token_fault(Fault::Html(503));

    let first = desk.import(&["--wait", "0", "--json", "--concurrency", "1"]).await;

    assert_eq!(first.code, Some(1), "{first:?}");
    let (told, sums) = first.json();
    // The second row waits with the first: Salesforce is not asked again at once.
    assert_eq!((&sums["put_off"], &sums["imported"]), (&json!(2), &json!(0)), "{told:?}");
    assert_eq!(told[&1]["problem"], "salesforce-unavailable");
    assert_eq!(desk.story.stack.salesforce.token_calls().len(), 1);
    assert!(first.errors.contains("Run the same command again"), "{first:?}");
    desk.story.pass(SignedDuration::from_mins(15));
    assert_eq!(desk.import(&[]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salesforce_that_is_away_ends_the_run_with_most_rows_untouched() {
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(8));
    desk.story.stack.salesforce.set_unreachable(true);

    let first = desk.import(&["--wait", "0", "--json", "--concurrency", "1"]).await;

    assert_eq!(first.code, Some(1), "{first:?}");
    let (_, sums) = first.json();
    assert!(sums["not_tried"].as_u64() >= Some(4), "{sums}");
    assert!(first.errors.contains("is away"), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_not_taken_for_a_rejection() {
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(1));
    desk.story.stack.salesforce.change(|state| {
        state.apps.iter_mut().for_each(|app| app.refresh_token_rotation = false);
    });
    desk.story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);

    let first = desk.import(&["--wait", "0", "--json"]).await;
    assert_eq!(first.code, Some(1), "{first:?}");
    let (told, _) = first.json();
    assert_eq!((&told[&1]["outcome"], &told[&1]["problem"]), (&json!("put_off"), &json!("import-under-way")));
    assert!(!desk.beside("rejected.jsonl").exists());

    desk.story.pass(SignedDuration::from_mins(15));
    let second = desk.import(&["--wait", "0"]).await;
    assert_eq!(second.code, Some(1), "the host has to answer something harmless first: {second:?}");
    desk.story.pass(SignedDuration::from_mins(11));
    assert_eq!(desk.import(&[]).await.code, Some(0), "it was sent once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_written_or_read_ends_the_run_with_what_to_do() {
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(1));
    std::fs::write(desk.beside("journal"), "not of an import\n").expect("a file");
    let refused = desk.import(&[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.errors.contains("journal:1: not a line of an import's journal"), "{refused:?}");

    std::fs::remove_file(desk.beside("journal")).expect("a file");
    std::fs::create_dir(desk.beside("rejected.jsonl")).expect("a folder in the way");
    let ended = desk.import(&[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("run the same command again"), "{ended:?}");
    std::fs::remove_dir(desk.beside("rejected.jsonl")).expect("a folder");
    assert_eq!(desk.import(&[]).await.code, Some(0), "it was imported");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_come_back_comes_back_then() {
    let desk = Desk::begin().await;
    desk.write_rows(&desk.rows(1));
    desk.story.stack.salesforce.forget_calls();
    let journal = Which::Operation("PutItem");
    desk.story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(journal));
    let began = Instant::now();

    let ended = desk.import(&[]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_secs(2), "Retry-After was 2 s");
    assert_eq!(desk.sent(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_of_one_customer_go_one_after_another() {
    let desk = Desk::begin().await;
    let mut rows = desk.rows(2);
    rows[1]["customer"] = rows[0]["customer"].clone();
    desk.write_rows(&rows);
    desk.story.stack.salesforce.set_token_latency(Duration::from_millis(300));
    desk.story.stack.salesforce.forget_calls();

    let ended = desk.import(&[]).await;

    assert_eq!(ended.code, Some(1), "{ended:?}");
    let rejected = desk.rejected();
    assert_eq!(rejected[&2]["problem"], "already-connected", "{rejected:?}");
    assert_eq!(rejected[&2]["connections"].as_array().map(Vec::len), Some(1));
    assert_eq!(desk.sent(), 1, "the second was not sent");

    rows[1]["another"] = json!(true);
    desk.write_rows(&rows);
    assert_eq!(desk.import(&[]).await.code, Some(0));
    assert_eq!(desk.connected().await["c-1"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_is_told_from_an_import_and_from_a_repeat() {
    let desk = Desk::begin().await;
    let story = &desk.story;
    desk.write_rows(&[row(1, &desk.held(1))]);
    assert_eq!(desk.import(&[]).await.code, Some(0));
    let id = story.connections().await[0]["id"].as_str().expect("an id").to_owned();
    story.stack.salesforce.revoke_grants("acme", "user1@acme.example");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&id).await.problem(), "reauthorization-needed");
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let granted = story.stack.salesforce.granted("acme", "user1@acme.example", key);
    let token = granted["refresh_token"].as_str().expect("a refresh token");
    story.secrets.keep("held token", token);
    desk.write_rows(&[row(1, token)]);

    let renewed = desk.import(&["--json"]).await;

    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    let (told, sums) = renewed.json();
    assert_eq!((&told[&1]["outcome"], &told[&1]["connection_id"]), (&json!("renewed"), &json!(id)));
    let of = |sum: &str| sums[sum].as_u64();
    assert_eq!([of("renewed"), of("imported"), of("imported_before")], [Some(1), Some(0), Some(0)], "{sums}");
    assert_eq!(of("not_tried"), Some(0), "{sums}");

    // Without the journal the API is asked, and has the token already.
    std::fs::remove_file(desk.beside("journal")).expect("the journal");
    let sent = desk.sent();
    let (told, _) = desk.import(&["--json"]).await.json();
    assert_eq!((&told[&1]["outcome"], desk.sent()), (&json!("imported_before"), sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_of_more_than_a_week_is_refused() {
    let desk = Desk::begin().await;
    desk.write_rows(&[row(1, "5Aep861notATokenOfAnybodys0000")]);
    for seconds in ["604801", "18446744073709551615"] {
        let refused = desk.import(&["--wait", seconds]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.errors.contains("604800") && !refused.errors.contains("panicked"), "{refused:?}");
    }
    assert_eq!(desk.sent(), 0);
}
