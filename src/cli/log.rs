//! The log: standard error, which is the journal under systemd.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::host::environment;

/// Starts logging. Only our own lines are written: the SDK's would show raw answers at its lowest
/// level. A command that ends says what there is to say in two lines of its own, and logs only when
/// it is asked to.
pub(super) fn start(verbose: u8, daemon: bool) {
    let (ours, others) = match verbose {
        0 if !daemon => (LevelFilter::OFF, LevelFilter::OFF),
        0 => (LevelFilter::INFO, LevelFilter::OFF),
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::WARN),
    };
    let filter = Targets::new().with_target("rolekeeper", ours).with_default(others);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // The journal dates and colours its lines itself.
    if environment::variable("JOURNAL_STREAM").is_some() {
        registry.with(lines.with_ansi(false).without_time()).init();
    } else {
        let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry.with(lines.with_ansi(ansi)).init();
    }
}
