//! What each request was and what it cost.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// What a request does to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    /// Tables, streams, TTL settings: no item is touched.
    Control,
}

impl Kind {
    pub(super) fn of(operation: &str) -> Self {
        match operation {
            "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems" => Self::Read,
            "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => Self::Write,
            _ => Self::Control,
        }
    }
}

/// One request, as DynamoDB would bill it.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamoRequest {
    /// As `GetItem`.
    pub operation: String,
    /// Which call of the SDK's: all tries of a call have the same.
    pub call: String,
    pub kind: Kind,
    /// The table, or the tables in alphabetical order joined by commas.
    pub table: String,
    /// Read capacity units: 1 for each 4 KB read strongly, half of it eventually, double in a transaction.
    pub read_units: f64,
    /// Write capacity units: 1 for each KB written to the table and each index, double in a transaction. DynamoDB
    /// reports none for a refused request.
    pub write_units: f64,
    /// How many items a transaction or batch names, else 1.
    pub items: usize,
    pub request_bytes: usize,
    /// Of the answer's body; 0 where there was no answer.
    pub response_bytes: usize,
    /// The error's name, as `ConditionalCheckFailedException`; for an armed fault its code, `unreachable` or
    /// `answer lost`.
    pub error: Option<String>,
}

impl DynamoRequest {
    pub(super) fn new(operation: &str, asked: &Value, request_bytes: usize) -> Self {
        let named = tables(asked);
        let mut tables: Vec<&str> = named.clone();
        tables.sort_unstable();
        tables.dedup();
        Self {
            operation: operation.to_owned(),
            call: String::new(),
            kind: Kind::of(operation),
            table: tables.join(","),
            read_units: 0.0,
            write_units: 0.0,
            items: named.len().max(1),
            request_bytes,
            response_bytes: 0,
            error: None,
        }
    }

    /// Notes what the answer tells and returns the body for the caller, without the capacity if only we asked.
    pub(super) fn read_answer(&mut self, status: StatusCode, body: Bytes, strip: bool) -> Bytes {
        let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            self.response_bytes = body.len();
            let name = answer["__type"].as_str().unwrap_or_default();
            self.error = Some(name.rsplit('#').next().unwrap_or(name).to_owned());
            return body;
        }
        let units = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            table => table["CapacityUnits"].as_f64().unwrap_or_default(),
        };
        match self.kind {
            Kind::Read => self.read_units = units,
            Kind::Write => self.write_units = units,
            Kind::Control => {}
        }
        let stripped =
            strip && answer.as_object_mut().is_some_and(|answer| answer.remove("ConsumedCapacity").is_some());
        let body = if stripped { Bytes::from(answer.to_string()) } else { body };
        self.response_bytes = body.len();
        body
    }
}

/// Asks for the consumed capacity where the caller did not, and says whether it had to.
pub(super) fn ask_for_capacity(kind: Kind, asked: &mut Value) -> bool {
    match asked.as_object_mut() {
        Some(members) if kind != Kind::Control && !members.contains_key("ReturnConsumedCapacity") => {
            members.insert("ReturnConsumedCapacity".into(), json!("TOTAL"));
            true
        }
        _ => false,
    }
}

/// The table of each item that a request names.
fn tables(asked: &Value) -> Vec<&str> {
    if let Some(table) = asked["TableName"].as_str() {
        return vec![table];
    }
    let of_actions = asked["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object);
    let of_actions =
        of_actions.flat_map(|action| action.values()).filter_map(|action| action["TableName"].as_str());
    let of_batch = asked["RequestItems"].as_object().into_iter().flatten().flat_map(|(table, requests)| {
        let requests = requests["Keys"].as_array().or(requests.as_array()).map_or(1, Vec::len);
        std::iter::repeat_n(table.as_str(), requests)
    });
    of_actions.chain(of_batch).collect()
}
