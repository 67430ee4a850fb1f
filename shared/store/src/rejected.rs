//! Access tokens that a caller reported as rejected by Salesforce. Such a token is returned to nobody until it is
//! replaced, or until a request of our own showed that Salesforce accepts it.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{SaturatingTime as _, secret::Fingerprint};
use jiff::{SignedDuration, Timestamp};

use crate::write::SendWrite;
use crate::{
    S, Store, StoreError, connections::ConnectionRecord, expression::Expression, keys, millis,
    write::conditional,
};

/// Minimum time between two requests that test one reported token.
const MIN_TEST_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// The attributes of [`Rejected`], to be removed once the token is replaced.
pub(crate) const REJECTED: &str = "rejected_token, rejected_tested_at, rejected_works";

/// That the stored access token was reported as rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// When Salesforce was last asked whether it accepts the token.
    pub tested_at: Option<Timestamp>,
    /// Whether Salesforce accepted it then.
    pub works: bool,
}

impl Rejected {
    /// Whether Salesforce may be asked about the token now.
    pub fn may_be_tested(&self, now: Timestamp) -> bool {
        self.tested_at.is_none_or(|at| at.later_by(MIN_TEST_INTERVAL) <= now || now + MIN_TEST_INTERVAL < at)
    }
}

impl Store {
    /// Records that the stored access token was reported as rejected. A token that has been replaced since is left
    /// alone, and so is one that was tested less than a minute ago.
    pub async fn mark_rejected(&self, record: &ConnectionRecord, now: Timestamp) -> Result<(), StoreError> {
        let marked = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET rejected_token = :access REMOVE rejected_works")
            .condition_expression(
                "access_fingerprint = :access AND (attribute_not_exists(rejected_token) \
                 OR rejected_token <> :access \
                 OR (rejected_works = :yes AND rejected_tested_at <= :minute_ago))",
            )
            .value(":access", S(record.access_fingerprint.as_str()))
            .value(":yes", AttributeValue::Bool(true))
            .value(":minute_ago", millis(now - MIN_TEST_INTERVAL))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Reserves the one test of a minute. `false`: another caller has it, or the token was replaced.
    pub async fn begin_test(&self, record: &ConnectionRecord, now: Timestamp) -> Result<bool, StoreError> {
        let begun = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET rejected_tested_at = :now")
            .condition_expression(
                "access_fingerprint = :access AND rejected_token = :access \
                 AND (attribute_not_exists(rejected_tested_at) OR rejected_tested_at <= :minute_ago \
                 OR rejected_tested_at > :minute_ahead)",
            )
            .value(":access", S(record.access_fingerprint.as_str()))
            .value(":now", millis(now))
            .value(":minute_ago", millis(now - MIN_TEST_INTERVAL))
            .value(":minute_ahead", millis(now + MIN_TEST_INTERVAL))
            .send_write()
            .await;
        conditional("UpdateItem", begun).map(|written| written.is_ok())
    }

    /// Stores whether Salesforce accepts the token that was reported.
    pub async fn end_test(&self, record: &ConnectionRecord, works: bool) -> Result<(), StoreError> {
        let ended = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET rejected_works = :works")
            .condition_expression("access_fingerprint = :access AND rejected_token = :access")
            .value(":access", S(record.access_fingerprint.as_str()))
            .value(":works", AttributeValue::Bool(works))
            .send_write()
            .await;
        conditional("UpdateItem", ended).map(drop)
    }
}

/// What an item's attributes say of its access token.
pub(crate) fn read(
    access: &Fingerprint,
    token: Option<&Fingerprint>,
    tested_at: Option<Timestamp>,
    works: bool,
) -> Option<Rejected> {
    (token == Some(access)).then_some(Rejected { tested_at, works })
}
