//! The log: standard error, which is the journal under systemd.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::host::environment;

/// Starts logging. Only our own lines are written: the SDK's would show raw answers at its lowest
/// level.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let filter = Targets::new().with_target("rolekeeper", level).with_default(if verbose == 0 {
        LevelFilter::OFF
    } else {
        LevelFilter::WARN
    });
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
