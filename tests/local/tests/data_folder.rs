//! A data folder: kept over restarts, explained when it is damaged, and not lost when the disk is full.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use local::{Options, Stack};
use salesforce::Http;
use serde_json::{Value, json};

/// A folder that is deleted with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("latchkey-data-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn options(&self) -> Options {
        Options { data: Some(self.0.clone()), ..Options::for_tests() }
    }

    /// Why a stack does not start on it: one sentence, which names this file.
    async fn refusal(&self, file: &str) -> String {
        let Err(error) = Stack::start(self.options()).await else { panic!("it starts") };
        let error = error.to_string();
        assert!(error.contains(self.0.join(file).to_str().expect("UTF-8")), "{error}");
        assert!(!error.contains('\n') && error.len() < 500, "{error}");
        error
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn restart_keeps_keys_and_answers_on_both_loopbacks() {
    let folder = Folder::new("restart");
    let first = Stack::start(folder.options()).await.expect("it starts");
    let key = first.api_key("fernway").expose().to_owned();
    drop(first);

    let again = Stack::start(folder.options()).await.expect("it starts again");

    assert_eq!(again.api_key("fernway").expose(), key);
    let port = again.latchkey.rsplit(':').next().expect("a port");
    for address in ["127.0.0.1", "[::1]"] {
        let request = http::Request::get(format!("http://{address}:{port}/healthz")).body(Vec::new());
        let answer = Http::of_operator_here().send(request.expect("a request")).await.expect(address);
        assert_eq!(answer.status(), 200, "{address}");
    }
}

#[tokio::test]
async fn damaged_folder_is_explained_in_one_sentence() {
    let folder = Folder::new("damaged");
    drop(Stack::start(folder.options()).await.expect("it starts"));
    let (keys, table) = (folder.0.join("keys.json"), folder.0.join("table.sqlite"));
    let whole = std::fs::read(&keys).expect("the keys");

    std::fs::write(&keys, "").expect("written");
    assert!(folder.refusal("keys.json").await.contains("is damaged"));
    std::fs::remove_file(&keys).expect("it goes");
    assert!(folder.refusal("keys.json").await.contains("is missing"));
    std::fs::write(&keys, whole).expect("written");
    drop(Stack::start(folder.options()).await.expect("the keys are back"));

    let mut bytes = std::fs::read(&table).expect("the table");
    for damaged in [b"no database at all".to_vec(), bytes.split_off(bytes.len() / 2)] {
        for wal in ["table.sqlite-wal", "table.sqlite-shm"] {
            let _ = std::fs::remove_file(folder.0.join(wal));
        }
        std::fs::write(&table, damaged).expect("written");
        folder.refusal("table.sqlite").await;
    }
}

#[tokio::test]
async fn folder_that_is_a_file_is_explained() {
    let folder = Folder::new("file");
    std::fs::write(&folder.0, "").expect("written");
    let Err(error) = Stack::start(folder.options()).await else { panic!("it starts") };
    assert!(error.to_string().contains(folder.0.to_str().expect("UTF-8")), "{error}");
    std::fs::remove_file(&folder.0).expect("it goes");
}

/// The local stack as a process of its own, which may write no file beyond so many blocks: as on a full disk.
struct Process {
    child: Child,
    latchkey: String,
    key: String,
}

impl Process {
    fn start(folder: &Path, most: Option<u32>) -> Self {
        let limit = most.map_or(String::new(), |most| format!("trap '' XFSZ; ulimit -S -f {most}; "));
        let script =
            format!("{limit}exec \"$0\" --json --port 0 --product-port 0 --salesforce-port 0 --data \"$1\"");
        let mut child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_local")])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let told: Value = lines
            .by_ref()
            .filter_map(|line| serde_json::from_str::<Value>(&line.expect("a line")).ok())
            .find(|told| told["latchkey"].is_string())
            .expect("its addresses");
        std::thread::spawn(move || lines.for_each(drop));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self { child, latchkey: text(&told["latchkey"]), key: text(&told["api_keys"]["fernway"]) }
    }

    /// The process may write files of any size from now on: the disk has room again.
    fn make_room(&self) {
        let pid = self.child.id().to_string();
        let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
        assert!(raised.expect("prlimit, of util-linux").success());
    }

    /// How many sessions the tally has counted.
    async fn counted(&self) -> usize {
        let (status, answer) = self.call("GET", "/v1/failures/summary", None).await;
        assert_eq!(status, 200, "{answer}");
        let steps = answer["sessions"].as_object().expect("counts by step");
        steps.values().filter_map(Value::as_u64).map(|count| usize::try_from(count).expect("few")).sum()
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let origin = self.latchkey.replace("latchkey.localhost", "127.0.0.1");
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{origin}{path}"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(body.map(|body| body.to_string()).unwrap_or_default().into_bytes())
            .expect("a request");
        let answer = Http::of_operator_here().send(request).await.expect("it answers");
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    async fn wish(&self) -> (u16, Value) {
        let wish = json!({
            "app": "sync", "customer": { "id": "c-acme" }, "user": "u",
            "return_to": "https://app.fernway.example/salesforce/return",
        });
        self.call("POST", "/v1/connect-sessions", Some(wish)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn full_disk_refuses_writes_and_loses_nothing() {
    let folder = Folder::new("full");
    let stored = {
        let process = Process::start(&folder.0, Some(3_000));
        let mut stored = Vec::new();
        let refused = loop {
            let (status, answer) = process.wish().await;
            if status != 201 {
                break (status, answer);
            }
            stored.push(answer["id"].as_str().expect("an id").to_owned());
            assert!(stored.len() < 5_000, "the disk is never full");
        };
        assert_eq!(
            (refused.0, &refused.1["type"]),
            (503, &json!("urn:latchkey:problem:unavailable")),
            "{}",
            refused.1
        );
        assert!(!stored.is_empty());
        // It goes on: what is there is read, and another write is refused as clearly.
        let path = format!("/v1/connect-sessions/{}", stored[0]);
        assert_eq!(process.call("GET", &path, None).await.0, 200);
        assert_eq!(process.wish().await.0, 503);
        stored
    };

    let process = Process::start(&folder.0, None);

    for id in [&stored[0], &stored[stored.len() - 1]] {
        assert_eq!(process.call("GET", &format!("/v1/connect-sessions/{id}"), None).await.0, 200);
    }
    assert_eq!(process.wish().await.0, 201, "there is room again");
}

#[tokio::test]
async fn full_disk_that_has_room_again_is_used_and_counted_without_a_restart() {
    let folder = Folder::new("room");
    let process = Process::start(&folder.0, Some(3_000));
    let mut stored = 0;
    while process.wish().await.0 == 201 {
        stored += 1;
        assert!(stored < 5_000, "the disk is never full");
    }
    // The tally looks for changes each second, and can neither read nor write them now.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(process.wish().await.0, 503, "still full");

    process.make_room();

    let until = Instant::now() + Duration::from_secs(20);
    while process.wish().await.0 != 201 {
        assert!(Instant::now() < until, "there is room, and writes are refused");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stored += 1;
    let until = Instant::now() + Duration::from_mins(1);
    while process.counted().await < stored {
        assert!(Instant::now() < until, "{} of {stored} are counted", process.counted().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(process.counted().await, stored, "each is counted once");
}
