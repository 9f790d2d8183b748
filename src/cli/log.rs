//! What is logged.

use tracing::level_filters::LevelFilter;

use crate::host::log;

/// Starts logging. A command that ends says what there is to say in two lines of its own, and logs only
/// when it is asked to. The daemon goes by its settings, unless the command line asks for more.
pub(super) fn start(verbose: u8, daemon: bool) {
    let level = match verbose {
        0 if !daemon => LevelFilter::OFF,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    log::start(log::of_level(level), daemon && verbose == 0);
}
