//! `latchkey events` and `latchkey webhook`: what they take, and what they call.

use clap::Subcommand;
use domain::{EndpointId, EventId, ProductId};
use latchkey::{
    deployment::{Deployment, SecretsManager},
    events,
    report::{CommandError, Report},
    webhook_secret::{self, RotationStep},
};
use platform::clock::now;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// The latest events of a product, and what became of them at each endpoint
    Tail {
        /// The product
        product: ProductId,
        /// How far back, in hours
        #[arg(long, default_value_t = 24)]
        hours: u32,
        /// How many events
        #[arg(long, default_value_t = 50)]
        most: usize,
    },
    /// Send an event again
    Redeliver {
        /// The event
        event: EventId,
        /// To this endpoint alone
        #[arg(long)]
        endpoint: Option<EndpointId>,
    },
    /// The webhook endpoints of a product: which work, fail, or are disabled
    Endpoints {
        /// The product
        product: ProductId,
    },
    /// Enable an endpoint that was disabled, and send what it missed
    Enable {
        /// The product
        product: ProductId,
        /// The endpoint
        endpoint: EndpointId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make the signing secret of an endpoint; it is shown once
    CreateSecret {
        /// The product
        product: ProductId,
        /// The endpoint
        endpoint: EndpointId,
    },
    /// Change the signing secret without a gap: stage, put it into the backend, finish
    RotateSecret {
        /// The step
        #[arg(value_enum)]
        step: SecretStep,
        /// The product
        product: ProductId,
        /// The endpoint
        endpoint: EndpointId,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SecretStep {
    /// Make the next secret; both sign
    Stage,
    /// Drop the secret before it
    Finish,
    /// Drop the next secret
    BackOut,
}

impl EventsCommand {
    pub(crate) async fn run(self, deployment: &Deployment, dry_run: bool) -> Result<Report, CommandError> {
        let store = deployment.store()?;
        match self {
            Self::Tail { product, hours, most } => events::tail(&store, &product, hours, most, now()).await,
            Self::Redeliver { event, endpoint } => {
                events::redeliver(&store, &event, endpoint, now(), dry_run).await
            }
            Self::Endpoints { product } => events::endpoints(&store, &product).await,
            Self::Enable { product, endpoint } => {
                events::enable(&store, &product, &endpoint, now(), events::INDEX_LAG, dry_run).await
            }
        }
    }
}

impl WebhookCommand {
    pub(crate) async fn run(self, deployment: &Deployment, dry_run: bool) -> Result<Report, CommandError> {
        let (store, secrets) = (deployment.store()?, SecretsManager::from_env()?);
        match self {
            Self::CreateSecret { product, endpoint } => {
                let endpoint = webhook_secret::endpoint(&store, &product, &endpoint).await?;
                webhook_secret::create(&endpoint, &secrets, dry_run).await
            }
            Self::RotateSecret { step, product, endpoint } => {
                let endpoint = webhook_secret::endpoint(&store, &product, &endpoint).await?;
                let step = match step {
                    SecretStep::Stage => RotationStep::Stage,
                    SecretStep::Finish => RotationStep::Finish,
                    SecretStep::BackOut => RotationStep::BackOut,
                };
                webhook_secret::rotate(&endpoint, step, &secrets, dry_run).await
            }
        }
    }
}
