//! The process's log: JSON lines, and spans where a collector takes them.

use telemetry::spans::{Spans, TARGET};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Starts [`logs`] for the process, on standard output. A second start in one process (tests) keeps the first.
pub fn init_logs(traced: bool) {
    let _ = logs(traced, std::io::stdout).try_init();
}

/// JSON logs at the level that `RUST_LOG` sets (`info`, or `warn,grants=debug`), and spans if a collector takes them.
/// Without a collector the target of spans is off, so that a span costs one read of a flag.
pub fn logs<W>(traced: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Not EnvFilter: its regular expressions, for spans that nobody names, are a fifth of a megabyte to load.
    let filter: Targets = std::env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let filter = filter.with_target(TARGET, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).without_time();
    let lines = lines.with_writer(writer).with_filter(filter);
    // A list, not `Option`: beside a layer that is `None` nothing counts as off for good, and a span that is off takes
    // 3,200 instructions to find out, each time.
    let mut layers = vec![lines.boxed()];
    if traced {
        layers.push(Spans.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO)).boxed());
    }
    tracing_subscriber::registry().with(layers)
}

#[cfg(test)]
mod tests {
    use tracing::{
        Level, Metadata,
        callsite::{Callsite, Identifier},
        field::FieldSet,
        metadata::Kind,
        subscriber::Interest,
    };

    use super::*;

    struct Here;

    static HERE: Here = Here;
    static SPAN: Metadata<'_> = Metadata::new(
        "here",
        TARGET,
        Level::INFO,
        None,
        None,
        None,
        FieldSet::new(&[], Identifier(&HERE)),
        Kind::SPAN,
    );

    impl Callsite for Here {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            &SPAN
        }
    }

    #[test]
    fn without_a_collector_a_span_is_off_for_good() {
        assert!(logs(false, std::io::stdout).register_callsite(&SPAN).is_never());
        assert!(!logs(true, std::io::stdout).register_callsite(&SPAN).is_never());
    }
}
