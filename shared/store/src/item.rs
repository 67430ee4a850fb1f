//! Items as they are stored, and the states that they must fit: a row that fits none says so by name.

use domain::{ExpiryBasis, LearntLife};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Item, N, S, StoreError, keys::Key};

/// The version of the items that this code writes; it reads this and all before it. It is raised where the code before
/// would misread what is written, one release after the code that reads both: two versions run side by side while one is
/// deployed, and either may be rolled back to.
pub(crate) const VERSION: u8 = 1;

pub(crate) fn to_item(key: &Key, row: &impl Serialize) -> Result<Item, StoreError> {
    let mut item: Item = serde_dynamo::to_item(row)
        .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
    item.retain(|_, value| !value.is_null());
    item.insert("pk".into(), S(&key.pk));
    item.insert("sk".into(), S(&*key.sk));
    item.insert("v".into(), N(VERSION));
    Ok(item)
}

pub(crate) fn from_item<R: DeserializeOwned>(pk: &str, item: Item) -> Result<R, StoreError> {
    is_readable(pk, &item)?;
    serde_dynamo::from_item(item)
        .map_err(|error| StoreError::Corrupt { pk: pk.to_owned(), what: error.to_string() })
}

/// Refuses what a later version has written: read half, it would be written back without the other half.
pub(crate) fn is_readable(pk: &str, item: &Item) -> Result<(), StoreError> {
    let version = item.get("v").and_then(|version| version.as_n().ok()?.parse::<u32>().ok());
    match version.filter(|version| *version > VERSION.into()) {
        None => Ok(()),
        Some(later) => Err(StoreError::Corrupt {
            pk: pk.to_owned(),
            what: format!(
                "version {later}, of a later Latchkey; this one reads up to {VERSION}: deploy that one again"
            ),
        }),
    }
}

pub(crate) fn learnt(millis: Option<i64>, basis: Option<ExpiryBasis>) -> Option<LearntLife> {
    let (millis, basis) = millis.zip(basis)?;
    Some(LearntLife { life: SignedDuration::from_millis(millis), basis })
}

/// In whole milliseconds: no session lasts longer than an `i64` of them.
pub(crate) fn duration(life: SignedDuration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX)
}

/// A time that an item must have.
pub(crate) fn time_in(pk: &str, millis: i64) -> Result<Timestamp, StoreError> {
    let corrupt = |_| StoreError::Corrupt { pk: pk.to_owned(), what: format!("{millis} is no time") };
    Timestamp::from_millisecond(millis).map_err(corrupt)
}

pub(crate) fn time(millis: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis?).ok()
}

/// A time of an item that is read without its row.
pub(crate) fn time_of(item: &Item, name: &str) -> Option<Timestamp> {
    let millis = item.get(name)?.as_n().ok()?.parse().ok()?;
    Timestamp::from_millisecond(millis).ok()
}

pub(crate) fn number(item: &Item, name: &str) -> u32 {
    item.get(name).and_then(|number| number.as_n().ok()?.parse().ok()).unwrap_or_default()
}

pub(crate) fn texts(item: &Item, name: &str) -> BTreeSet<String> {
    item.get(name).and_then(|texts| texts.as_ss().ok()).into_iter().flatten().cloned().collect()
}
