//! What each flow asks of DynamoDB, Secrets Manager and Salesforce: counted, not timed. The counts are tests
//! (`tests/journeys/tests/operators/figures.rs`, `tests/protocol/tests/refresh/cost.rs`); here they stand beside the bill.

use journeys::flows;

use crate::report::{Section, number};

/// On demand, us-east-1, November 2026: dollars a million units.
const READ: f64 = 0.125;
const WRITE: f64 = 0.625;

/// The table.
pub(crate) async fn measure() -> Section {
    let mut section = Section::new("Requests and calls, by flow");
    for flow in flows::all().await {
        let (read, written) = (flow.read_units(), flow.write_units());
        let dollars = number(read * READ + written * WRITE);
        let mut asked = flow.operations();
        for (calls, whom) in [(flow.secrets, "Secrets Manager"), (flow.salesforce, "Salesforce")] {
            if calls > 0 {
                asked += &format!("; {calls} of {whom}");
            }
        }
        section.row(flow.what, asked, format!("{read} read and {written} write units: ${dollars} a million"));
    }
    section
}
