//! What is known of a webhook endpoint: since when it fails, and whether it is disabled. There is no item for an endpoint
//! that works: an event that is delivered at the first try costs no write here.

use domain::{EndpointId, ProductId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    S, Store, StoreError,
    item::{from_item, time},
    keys, millis,
    write::{SendWrite, conditional},
};

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBecause {
    /// It answered 410: it wants no more events.
    Gone,
    /// It failed for three days without a success.
    Failing,
}

impl DisabledBecause {
    /// Its name in the table and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Since when it fails without a success, once an event has failed three times.
    pub failing_since: Option<Timestamp>,
    /// When it was disabled, and why.
    pub disabled: Option<(Timestamp, DisabledBecause)>,
}

#[derive(Debug, Deserialize)]
struct EndpointRow {
    failing_since: Option<i64>,
    disabled_at: Option<i64>,
    disabled_because: Option<DisabledBecause>,
}

impl Store {
    /// What is known of an endpoint. It may be a second old.
    pub async fn endpoint_health(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
    ) -> Result<EndpointHealth, StoreError> {
        self.read_endpoint_health(product, endpoint, false).await
    }

    /// The same, as it is now.
    pub async fn endpoint_health_now(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
    ) -> Result<EndpointHealth, StoreError> {
        self.read_endpoint_health(product, endpoint, true).await
    }

    async fn read_endpoint_health(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
        consistently: bool,
    ) -> Result<EndpointHealth, StoreError> {
        let key = keys::endpoint(product, endpoint);
        let Some(item) = self.get(&key, consistently).await? else { return Ok(EndpointHealth::default()) };
        let row: EndpointRow = from_item(&key.pk, item)?;
        Ok(EndpointHealth {
            failing_since: time(row.failing_since),
            disabled: time(row.disabled_at).zip(row.disabled_because),
        })
    }

    /// Notes that an endpoint fails, unless that is noted already.
    pub async fn note_failing_endpoint(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::endpoint(product, endpoint))
            .update_expression("SET failing_since = :now, product = :product, endpoint = :endpoint")
            .condition_expression("attribute_not_exists(failing_since)")
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":product", S(product.as_str()))
            .expression_attribute_values(":endpoint", S(endpoint.as_str()))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Notes that an endpoint works again. An endpoint that is disabled stays so.
    pub async fn note_working_endpoint(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
    ) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::endpoint(product, endpoint))
            .update_expression("REMOVE failing_since")
            .condition_expression("attribute_exists(failing_since) AND attribute_not_exists(disabled_at)")
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Disables an endpoint. `false`: it was disabled already.
    pub async fn disable_endpoint(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
        because: DisabledBecause,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let disabled = self
            .update(&keys::endpoint(product, endpoint))
            .update_expression(
                "SET disabled_at = :now, disabled_because = :because, product = :product, endpoint = :endpoint",
            )
            .condition_expression("attribute_not_exists(disabled_at)")
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":because", S(because.as_str()))
            .expression_attribute_values(":product", S(product.as_str()))
            .expression_attribute_values(":endpoint", S(endpoint.as_str()))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", disabled)?.is_ok())
    }

    /// Disables an endpoint that has failed since then without a success. `false`: it was disabled already, or has had a
    /// success or was enabled meanwhile.
    pub async fn disable_failing_endpoint(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
        failing_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let disabled = self
            .update(&keys::endpoint(product, endpoint))
            .update_expression("SET disabled_at = :now, disabled_because = :because")
            .condition_expression("attribute_not_exists(disabled_at) AND failing_since = :since")
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":because", S(DisabledBecause::Failing.as_str()))
            .expression_attribute_values(":since", millis(failing_since))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", disabled)?.is_ok())
    }

    /// Enables an endpoint. What is known of it is forgotten.
    pub async fn enable_endpoint(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
    ) -> Result<(), StoreError> {
        let key = keys::endpoint(product, endpoint);
        let delete = self.client.delete_item().table_name(&self.table);
        let deleted = delete.key("pk", S(&key.pk)).key("sk", S(&*key.sk)).send_write().await;
        deleted.map(drop).map_err(|error| StoreError::unavailable("DeleteItem", &error))
    }
}
