//! What calls of AWS cost: DynamoDB is asked for the units that each call consumes, and tries are counted.

use aws_sdk_dynamodb::{
    operation::{
        batch_get_item::{BatchGetItemInput, BatchGetItemOutput},
        delete_item::{DeleteItemInput, DeleteItemOutput},
        get_item::{GetItemInput, GetItemOutput},
        put_item::{PutItemInput, PutItemOutput},
        query::{QueryInput, QueryOutput},
        scan::{ScanInput, ScanOutput},
        transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemInput, UpdateItemOutput},
    },
    types::{ConsumedCapacity, ReturnConsumedCapacity},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
                BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, Input, Output,
            },
            dyn_dispatch_hint,
        },
        orchestrator::Metadata,
        retries::RequestAttempts,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use telemetry::{Metric, add, spans::TARGET};
use tracing::{Span, field::Empty, info_span};

/// The span of the call under way: it ends with what is kept for the call.
#[derive(Debug)]
struct Traced(Span);

impl Storable for Traced {
    type Storer = StoreReplace<Self>;
}

/// Counts what a client's calls cost.
#[derive(Debug)]
pub(crate) struct Metered;

/// Each operation that the store uses, with the metric of its units.
macro_rules! operations {
    ($($input:ident, $output:ident, $metric:ident;)*) => {
        fn ask(input: &mut Input) {
            $(if let Some(input) = input.downcast_mut::<$input>() {
                input.return_consumed_capacity.get_or_insert(ReturnConsumedCapacity::Total);
                return;
            })*
        }

        fn read(output: &Output) {
            $(if let Some(output) = output.downcast_ref::<$output>() {
                add(Metric::$metric, output.consumed_capacity.as_ref().map_or(0.0, Units::units));
                return;
            })*
        }
    };
}

operations! {
    GetItemInput, GetItemOutput, ReadUnits;
    BatchGetItemInput, BatchGetItemOutput, ReadUnits;
    QueryInput, QueryOutput, ReadUnits;
    ScanInput, ScanOutput, ReadUnits;
    PutItemInput, PutItemOutput, WriteUnits;
    UpdateItemInput, UpdateItemOutput, WriteUnits;
    DeleteItemInput, DeleteItemOutput, WriteUnits;
    TransactWriteItemsInput, TransactWriteItemsOutput, WriteUnits;
}

/// Of one table, or of those of a transaction or batch.
trait Units {
    fn units(&self) -> f64;
}

impl Units for ConsumedCapacity {
    fn units(&self) -> f64 {
        self.capacity_units.unwrap_or_default()
    }
}

impl<T: Units> Units for Vec<T> {
    fn units(&self) -> f64 {
        self.iter().map(Units::units).sum()
    }
}

#[dyn_dispatch_hint]
impl Intercept for Metered {
    fn name(&self) -> &'static str {
        "Metered"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name).to_owned();
        let span = info_span!(target: TARGET, "aws", operation, answered = Empty);
        if !span.is_disabled() {
            config.interceptor_state().store_put(Traced(span));
        }
        Ok(())
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        ask(context.input_mut());
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let before = config.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        if before > 1 {
            add(Metric::Retries, 1.0);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answered = context.output_or_error().and_then(Result::ok);
        if let Some(output) = answered {
            read(output);
        }
        if let Some(Traced(span)) = config.load::<Traced>() {
            span.record("answered", if answered.is_some() { "yes" } else { "no" });
        }
        Ok(())
    }
}
