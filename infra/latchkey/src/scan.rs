//! A whole table, page by page: what only an operator does. Progress goes to the terminal, if there is one.

use std::{collections::HashMap, io::IsTerminal};

use aws_sdk_dynamodb::{Client, types::AttributeValue};

use crate::{aws_error::explain, report::CommandError};

/// An item as it is stored.
pub type Item = HashMap<String, AttributeValue>;

/// A scan over the items of one kind.
#[derive(Debug)]
pub struct Scan<'a> {
    client: &'a Client,
    table: &'a str,
    prefix: &'a str,
    from: Option<Item>,
    ended: bool,
    seen: u64,
}

impl<'a> Scan<'a> {
    /// Over the items whose partition key begins so; all, where that is empty.
    pub fn new(client: &'a Client, table: &'a str, prefix: &'a str) -> Self {
        Self { client, table, prefix, from: None, ended: false, seen: 0 }
    }

    /// The next page; `None` at the end. A page may be empty.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, CommandError> {
        if self.ended {
            return Ok(None);
        }
        let mut scan = self.client.scan().table_name(self.table).set_exclusive_start_key(self.from.take());
        if !self.prefix.is_empty() {
            scan = scan
                .filter_expression("begins_with(pk, :prefix)")
                .expression_attribute_values(":prefix", AttributeValue::S(self.prefix.to_owned()));
        }
        let page = scan.send().await;
        let page = page.map_err(|error| format!("table {}: {}", self.table, explain(&error)))?;
        self.ended = page.last_evaluated_key.is_none();
        self.from = page.last_evaluated_key;
        self.seen += u64::from(page.scanned_count.unsigned_abs());
        progress(&format!("{} items read", self.seen), self.ended);
        Ok(Some(page.items.unwrap_or_default()))
    }
}

/// One line that is written over, on a terminal alone: standard output is the result's.
#[expect(clippy::print_stderr, reason = "progress is for the person who waits")]
pub fn progress(what: &str, last: bool) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{what}{}", if last { "\n" } else { "" });
    }
}
