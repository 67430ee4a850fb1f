//! Several requests at once in one process, as Lambda Managed Instances send them (`AWS_LAMBDA_MAX_CONCURRENCY`): the
//! deployed binary over the Runtime API.

use crate::{
    report::{Section, median, mib, number},
    sandbox::{Function, Sandbox},
    stage::Stage,
};

/// How many calls are timed.
const CALLS: u16 = 2_000;

/// The table.
pub(crate) fn measure(stage: &Stage) -> Section {
    let mut section = Section::new("Several requests at once in one process");
    let fresh = stage.functions().swap_remove(0);
    let mut alone = None;
    for at_once in [1, 4, 16] {
        let sandbox = Sandbox::start(&several(&fresh, at_once));
        sandbox.first();
        sandbox.together(&fresh.event, 100);
        let rounds: Vec<f64> = (0..3)
            .map(|_| {
                let (took, answers) = sandbox.together(&fresh.event, usize::from(CALLS));
                assert!(answers.iter().all(|answer| answer["statusCode"] == 200));
                f64::from(CALLS) / took.as_secs_f64()
            })
            .collect();
        let rate = median(&rounds);
        let reference = *alone.get_or_insert(rate);
        section.row(
            format!("fresh tokens, {at_once} at once"),
            format!("{} a second, {:.1} MiB", number(rate), mib(sandbox.memory().peak)),
            format!("one at a time {} a second", number(reference)),
        );
        section.ratio(rate / reference);
    }
    section.note(
        "Of a token that has ended they make one exchange, over eight such processes of 125 at once too: \
         `tests/journeys/tests/storm.rs`.",
    );
    section
}

fn several(function: &Function, at_once: usize) -> Function {
    let mut function = function.clone();
    function.environment.push(("AWS_LAMBDA_MAX_CONCURRENCY".into(), at_once.to_string()));
    function
}
