//! The log: standard error, which is the journal under systemd.

use std::io::{self, Write};
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use super::{environment, terminal};

/// What changes what is logged while the process runs.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Our own lines from this level on. The SDK's would show raw answers at its lowest level.
pub fn of_level(ours: LevelFilter) -> Targets {
    let others = if ours >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    Targets::new().with_target("rolekeeper", ours).with_default(others)
}

/// Starts logging what `filter` lets through; as long as the process runs, or until
/// [`adjust`] says otherwise.
pub fn start(filter: Targets, adjustable: bool) {
    let (filter, handle) = reload::Layer::new(filter);
    if adjustable {
        // There is one log, which is started once.
        let _ = FILTER.set(handle);
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Forgiving(io::stderr()))
        // It would use `eprintln!`, which panics where nobody reads.
        .log_internal_errors(false)
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // The journal dates and colours its lines itself.
    if is_journal() {
        registry.with(lines.with_ansi(false).without_time()).init();
    } else {
        let ansi = terminal::has_colours(&io::stderr());
        registry.with(lines.with_ansi(ansi)).init();
    }
}

/// From now on logs our own lines from this level on, unless the log was started for good.
pub fn adjust(ours: LevelFilter) {
    if let Some(filter) = FILTER.get() {
        // Fails when there is no log any more.
        let _ = filter.reload(of_level(ours));
    }
}

/// Whether standard error is the journal: the variable names its device and inode (systemd.exec(5)), and
/// is inherited by programs whose standard error is something else.
fn is_journal() -> bool {
    let named = environment::variable("JOURNAL_STREAM");
    let own = fstat(io::stderr()).ok().map(|own| format!("{}:{}", own.st_dev, own.st_ino));
    named.is_some() && named == own
}

/// Where nobody reads, there is nothing to say.
struct Forgiving<W>(W);

impl<W: Write> Write for Forgiving<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
