//! DynamoDB without a socket, for tests that carry each request over themselves.

use std::sync::Arc;

use dynoxide::{Database, ImportOptions, errors::DynoxideError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// An emulator in memory. Clones share it.
#[derive(Clone)]
pub struct Direct(Arc<Database>);

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Direct")
    }
}

impl Default for Direct {
    fn default() -> Self {
        Self(Arc::new(Database::memory().expect("the emulator opens its database")))
    }
}

impl Direct {
    /// Carries out one request of an SDK's: its operation and body, and the answer's status and body.
    pub fn answer(&self, operation: &str, body: &[u8]) -> (u16, String) {
        let db = &self.0;
        match operation {
            "CreateTable" => run(body, |request| db.create_table(request)),
            "GetItem" => run(body, |request| db.get_item(request)),
            "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
            "PutItem" => run(body, |request| db.put_item(request)),
            "UpdateItem" => run(body, |request| db.update_item(request)),
            "DeleteItem" => run(body, |request| db.delete_item(request)),
            "Query" => run(body, |request| db.query(request)),
            "Scan" => run(body, |request| db.scan(request)),
            "TransactWriteItems" => run(body, |request| db.transact_write_items(request)),
            other => panic!("{other}: no function calls it"),
        }
    }

    /// Puts many items in at once, each DynamoDB JSON: nobody is asked, and nothing is counted.
    pub fn seed(&self, table: &str, items: impl Iterator<Item = Value>) {
        let items = items.map(|item| serde_json::from_value(item).expect("an item")).collect();
        self.0.import_items(table, items, ImportOptions::default()).expect("the items are of the table");
    }

    /// Loses one item: nobody is asked.
    pub fn lose(&self, table: &str, pk: &str, sk: &str) {
        self.answer("DeleteItem", on(table, pk, sk).to_string().as_bytes());
    }

    /// All items of a table, as DynamoDB JSON.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut request = json!({ "TableName": table, "ConsistentRead": true });
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let (_, body) = self.answer("Scan", request.to_string().as_bytes());
            let mut page: Value = serde_json::from_str(&body).expect("an answer is JSON");
            items.append(page["Items"].as_array_mut().expect("a list"));
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return items;
            }
        }
    }

    /// One item, as DynamoDB JSON.
    pub fn item(&self, table: &str, pk: &str, sk: &str) -> Option<Value> {
        let mut request = on(table, pk, sk);
        request["ConsistentRead"] = true.into();
        let (_, body) = self.answer("GetItem", request.to_string().as_bytes());
        let mut answer: Value = serde_json::from_str(&body).expect("an answer is JSON");
        answer.get_mut("Item").map(Value::take)
    }
}

fn on(table: &str, pk: &str, sk: &str) -> Value {
    serde_json::json!({ "TableName": table, "Key": { "pk": { "S": pk }, "sk": { "S": sk } } })
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> (u16, String) {
    let request = serde_json::from_slice(body).unwrap_or_else(|error| panic!("a request: {error}"));
    match operation(request) {
        Ok(answer) => (200, serde_json::to_string(&answer).expect("an answer is JSON")),
        Err(error) => (error.status_code(), error.to_json()),
    }
}
