//! The table itself: created by `infra/template.yaml` in AWS and by [`Store::create_table`] in the local
//! stack. A test keeps the two alike.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
    },
};

use crate::{Store, StoreError};

/// Index over a product's connections, in the order they were made. No token is in it.
pub const LISTING: &str = "listing";

/// Index over what the sweep has to look at, by time.
pub const DUE: &str = "due";

/// Index over the connections of one of a product's customers, in the order they were made. It carries what
/// `listing` does.
pub const CUSTOMER: &str = "customer";

/// Index over what one Salesforce user has granted to one app, over all products.
pub const GRANTS: &str = "grants";

/// Index over a product's failures of a day, in the order they were met, and over its events in the order in which they
/// were recorded. It carries all of them: no other item is in it, and no failure or event holds a token.
pub const FAILURES: &str = "failures";

/// The attribute that `grants` carries.
pub const COUNTED: [&str; 1] = ["state"];

/// The attributes that `listing` and `customer` carry.
pub const LISTED: [&str; 8] =
    ["app", "customer", "org_id", "user_id", "username", "state", "environment", "created_at"];

impl Store {
    /// Creates the table where there is none yet: for the local stack and tests.
    ///
    /// # Panics
    /// Never: the definitions below are complete.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        use ScalarAttributeType::{N, S};
        let attribute = |name: &str, kind: ScalarAttributeType| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(kind)
                .build()
                .expect("complete")
        };
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("complete")
        };
        let index = |name: &str, hash: &str, range: &str, projection: Projection| {
            GlobalSecondaryIndex::builder()
                .index_name(name)
                .key_schema(key(hash, KeyType::Hash))
                .key_schema(key(range, KeyType::Range))
                .projection(projection)
                .build()
                .expect("complete")
        };
        let with = |attributes: &[&str]| {
            Projection::builder()
                .projection_type(ProjectionType::Include)
                .set_non_key_attributes(Some(attributes.iter().map(|name| (*name).to_owned()).collect()))
                .build()
        };
        let everything = Projection::builder().projection_type(ProjectionType::All).build();
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .expect("complete");
        let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();

        let created = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(vec![
                attribute("pk", S),
                attribute("sk", S),
                attribute("listing_pk", S),
                attribute("listing_sk", S),
                attribute("customer_pk", S),
                attribute("grants_pk", S),
                attribute("failures_pk", S),
                attribute("due_shard", S),
                attribute("due_at", N),
            ]))
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .global_secondary_indexes(index(LISTING, "listing_pk", "listing_sk", with(&LISTED)))
            .global_secondary_indexes(index(CUSTOMER, "customer_pk", "listing_sk", with(&LISTED)))
            .global_secondary_indexes(index(GRANTS, "grants_pk", "listing_sk", with(&COUNTED)))
            .global_secondary_indexes(index(FAILURES, "failures_pk", "listing_sk", everything))
            .stream_specification(stream)
            .global_secondary_indexes(index(DUE, "due_shard", "due_at", keys_only))
            .send()
            .await;
        self::created(created)
    }
}

/// What became of creating a table: one that is there already will do.
pub(crate) fn created<T>(created: Result<T, SdkError<CreateTableError>>) -> Result<(), StoreError> {
    match created {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(StoreError::unavailable("CreateTable", &error)),
    }
}
