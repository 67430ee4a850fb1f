//! Several requests at once in one process, as Lambda Managed Instances send them (`AWS_LAMBDA_MAX_CONCURRENCY`): the
//! deployed binary over the Runtime API.

use std::time::Duration;

use serde_json::{Value, json};
use world::lambda::http_event;

use crate::{
    report::{Section, median, mib, number, time},
    sandbox::{Function, Sandbox},
    stage::Stage,
};

/// How many calls are timed.
const CALLS: u16 = 2_000;

/// How many callers of one token that has ended.
const CALLERS: usize = 16;

/// What Salesforce takes for an exchange.
const EXCHANGE: Duration = Duration::from_millis(300);

/// The table. `storm` is a stage of its own: its token is rejected.
pub(crate) fn measure(stage: &Stage, storm: &Stage) -> Section {
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
    shared(storm, &mut section);
    section.note(
        "Of a token that has ended they make one exchange, over eight such processes of 125 at once too: \
         `tests/journeys/tests/tokens/storm.rs`. The binary of that row is the deployed one, but for the hosts that it talks to.",
    );
    section
}

/// Several at once whose token Salesforce has rejected: one refreshes, for all.
fn shared(stage: &Stage, section: &mut Section) {
    let salesforce = &stage.story.stack.salesforce;
    let fresh = http_event("GET", &stage.token_path(), &stage.bearer(), &[], None);
    let function = several(&Function { event: fresh.clone(), ..stage.here("token") }, CALLERS);
    let sandbox = Sandbox::start(&function);
    let body = |answer: &Value| -> Value {
        assert_eq!(answer["statusCode"], 200, "{answer}");
        serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON")
    };
    let dead = body(&sandbox.first().1)["fingerprint"].clone();
    let (before, _) = sandbox.together(&fresh, CALLERS);
    salesforce.expire_access_tokens();
    salesforce.set_token_latency(EXCHANGE);
    salesforce.forget_calls();
    let headers = [stage.bearer()[0], ("content-type", "application/json")];
    let rejected = json!({ "rejected": dead }).to_string();
    let rejected = http_event("POST", &stage.token_path(), &headers, &[], Some(&rejected));
    let (took, answers) = sandbox.together(&rejected, CALLERS);
    salesforce.set_token_latency(Duration::ZERO);
    let tokens: Vec<Value> = answers.iter().map(|answer| body(answer)["fingerprint"].clone()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != dead), "{tokens:?}");
    assert_eq!(salesforce.token_calls().len(), 1, "one exchange");
    section.row(
        format!("a token that has ended, {CALLERS} at once, one exchange: until the last has the new one"),
        time(took),
        format!("exchange, and as many with a fresh token {}", time(EXCHANGE + before)),
    );
    section.ratio(took.as_secs_f64() / (EXCHANGE + before).as_secs_f64());
}

/// The same, for so many requests at once.
fn several(function: &Function, at_once: usize) -> Function {
    let mut function = function.clone();
    function.environment.push(("AWS_LAMBDA_MAX_CONCURRENCY".into(), at_once.to_string()));
    function
}
