//! What is logged.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::host::log;

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
    log::start(Targets::new().with_target("rolekeeper", ours).with_default(others));
}
