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
    /// Who made it; absent where a function or an operator did.
    #[serde(rename = "userIdentity")]
    pub made_by: Option<MadeBy>,
}

/// Who made a change, where it is a service of AWS.
#[derive(Debug, Clone, Deserialize)]
pub struct MadeBy {
    /// The service: `dynamodb.amazonaws.com` deletes items whose TTL is over.
    #[serde(rename = "principalId", default)]
    pub service: String,
}

impl Record {
    /// Whether the item was deleted because its TTL is over: nothing happened.
    pub fn is_expiry(&self) -> bool {
        self.made_by.as_ref().is_some_and(|by| by.service == "dynamodb.amazonaws.com")
    }
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
    pub fn pk(&self) -> &str {
        Image(&self.keys).text("pk").unwrap_or_default()
    }

    /// The item's sort key.
    pub fn sk(&self) -> &str {
        Image(&self.keys).text("sk").unwrap_or_default()
    }

    /// When it was made, as the stream says.
    #[expect(clippy::cast_possible_truncation, reason = "seconds of the epoch are far below 2^52")]
    pub fn at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond((self.at? * 1000.0) as i64).ok()
    }
}

/// An item in DynamoDB JSON.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a>(pub &'a Value);

impl<'a> Image<'a> {
    /// A text.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.get("S")?.as_str()
    }

    /// A whole number.
    pub fn number(self, name: &str) -> Option<i64> {
        self.0.get(name)?.get("N")?.as_str()?.parse().ok()
    }

    /// A map.
    pub fn map(self, name: &str) -> Option<Self> {
        self.0.get(name)?.get("M").map(Image)
    }

    /// Whether it is there, and not null.
    pub fn has(self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.get("NULL").is_none())
    }

    /// Milliseconds.
    pub fn time(self, name: &str) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.number(name)?).ok()
    }

    /// A text that is one of ours: an id, or the word of an enum.
    pub fn read<T: serde::de::DeserializeOwned>(self, name: &str) -> Option<T> {
        serde_json::from_value(Value::String(self.text(name)?.to_owned())).ok()
    }

    /// The whole item as plain JSON, in which sets are lists.
    pub fn plain(self) -> Value {
        let Value::Object(item) = self.0 else { return Value::Null };
        Value::Object(item.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
    }
}

/// An attribute's value without its type.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|typed| typed.iter().next()) else {
        return Value::Null;
    };
    let number = |text: &Value| text.as_str().and_then(|text| serde_json::from_str(text).ok());
    match (kind.as_str(), inner) {
        ("NULL", _) => Value::Null,
        ("N", text) => number(text).unwrap_or_default(),
        ("NS", Value::Array(numbers)) => numbers.iter().filter_map(number).collect(),
        ("L", Value::Array(values)) => values.iter().map(plain).collect(),
        ("M", item) => Image(item).plain(),
        (_, inner) => inner.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_item_is_read_without_its_types() {
        let item = json!({
            "pk": {"S": "WAVE#x"}, "since": {"N": "1764516517123"}, "members": {"SS": ["a", "b"]}, "on": {"BOOL": true},
            "incident": {"M": {"id": {"S": "in_x"}, "none": {"NULL": true}, "list": {"L": [{"N": "1.5"}]}}},
            "odd": {"N": "not a number"}, "broken": "text",
        });
        assert_eq!(
            Image(&item).plain(),
            json!({
                "pk": "WAVE#x", "since": 1_764_516_517_123_i64, "members": ["a", "b"], "on": true,
                "incident": {"id": "in_x", "none": null, "list": [1.5]}, "odd": null, "broken": null,
            })
        );
    }

    #[test]
    fn only_the_ttl_service_expires() {
        let record = |by: Value| {
            let record = json!({"dynamodb": {"Keys": {}, "SequenceNumber": "1"}, "userIdentity": by});
            serde_json::from_value::<Record>(record).expect("a record").is_expiry()
        };
        assert!(record(json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"})));
        assert!(!record(json!({"principalId": "somebody"})));
        assert!(!record(Value::Null));
    }
}
