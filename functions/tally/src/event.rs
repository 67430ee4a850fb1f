//! What Lambda brings from the table's stream, as far as it is read: DynamoDB JSON, with the shard that it is from. Lambda
//! names the shard only where the mapping has a tumbling window.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A batch of one shard's records.
#[derive(Debug, Default, Deserialize)]
pub struct Event {
    /// In the order of their sequence numbers; none at the end of a window.
    #[serde(rename = "Records", default)]
    pub records: Vec<Record>,
    /// The shard.
    #[serde(rename = "shardId")]
    pub shard: Option<String>,
}

/// One change of one item.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// The change.
    #[serde(rename = "dynamodb")]
    pub change: Change,
}

/// The item before and after.
#[derive(Debug, Clone, Deserialize)]
pub struct Change {
    /// The item's key.
    #[serde(rename = "Keys")]
    pub keys: Value,
    /// The item after; absent where it was deleted.
    #[serde(rename = "NewImage")]
    pub new: Option<Value>,
    /// The item before; absent where it is new.
    #[serde(rename = "OldImage")]
    pub old: Option<Value>,
    /// The record's number in its shard.
    #[serde(rename = "SequenceNumber")]
    pub sequence: String,
    /// When, in seconds of the epoch.
    #[serde(rename = "ApproximateCreationDateTime")]
    pub at: Option<f64>,
}

impl Change {
    /// The item's partition key.
    pub(crate) fn pk(&self) -> &str {
        Image(&self.keys).text("pk").unwrap_or_default()
    }

    /// When it was made, as the stream says.
    #[expect(clippy::cast_possible_truncation, reason = "seconds of the epoch are far below 2^52")]
    pub(crate) fn at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond((self.at? * 1000.0) as i64).ok()
    }
}

/// An item in DynamoDB JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a>(pub(crate) &'a Value);

impl<'a> Image<'a> {
    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.get("S")?.as_str()
    }

    pub(crate) fn number(self, name: &str) -> Option<i64> {
        self.0.get(name)?.get("N")?.as_str()?.parse().ok()
    }

    pub(crate) fn map(self, name: &str) -> Option<Self> {
        self.0.get(name)?.get("M").map(Image)
    }

    pub(crate) fn has(self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.get("NULL").is_none())
    }

    /// Milliseconds.
    pub(crate) fn time(self, name: &str) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.number(name)?).ok()
    }

    /// A text that is one of ours: an id, or the word of an enum.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(self, name: &str) -> Option<T> {
        serde_json::from_value(Value::String(self.text(name)?.to_owned())).ok()
    }
}
