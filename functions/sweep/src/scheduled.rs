//! The sweep as it is deployed: a run when the schedule says, and the answer to the operator's question about egress.

use platform::{Deadline, Platform, SettingError};
use runtime::ScheduledFunction;
use salesforce::egress::{Egress, Question};
use serde_json::Value;
use store::StoreError;

use crate::{Sweep, Swept};

/// The sweep, and the way to observe the address that Salesforce sees.
#[derive(Debug)]
pub struct Scheduled {
    sweep: Sweep,
    egress: Egress,
}

impl Scheduled {
    /// A sweep whose egress is observed this way: tests bring their own.
    pub fn with_egress(sweep: Sweep, egress: Egress) -> Self {
        Self { sweep, egress }
    }
}

impl ScheduledFunction for Scheduled {
    const NAME: &'static str = "sweep";
    type Done = Swept;
    type Error = StoreError;

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self::with_egress(Sweep::new(platform)?, Egress::deployed()))
    }

    async fn run(&self, time: Deadline) -> Result<Swept, StoreError> {
        self.sweep.run(time).await
    }

    async fn answer(&self, event: &Value) -> Option<Value> {
        let Ok(Question::Egress) = serde::Deserialize::deserialize(event) else { return None };
        serde_json::to_value(self.egress.observe().await).ok()
    }
}
