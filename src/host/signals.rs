//! What the kernel asks of the process.

use std::ffi::c_int;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;
use signal_hook_tokio::Signals;

/// A request by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// The signals that are waited for, from now on.
pub struct SignalStream(Signals);

impl SignalStream {
    /// Takes over SIGHUP, SIGINT and SIGTERM.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub fn new() -> io::Result<Self> {
        Signals::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        match self.0.next().await {
            Some(SIGHUP) => Signal::Reload,
            _ => Signal::Stop,
        }
    }
}

/// A process that was told to stop before its work was done.
#[derive(Debug)]
pub struct Stopped(c_int);

/// Does the work, unless the process is told to stop before: by SIGTERM, or at a terminal by Ctrl-C or
/// Ctrl-\. The work is dropped then, so that it leaves things in order. A second signal ends the process
/// at once, whatever keeps it.
///
/// # Errors
///
/// When it was told to stop.
pub async fn unless_stopped<T>(work: impl Future<Output = T>) -> Result<T, Stopped> {
    const STOP: [c_int; 3] = [SIGINT, SIGQUIT, SIGTERM];
    let told = Arc::new(AtomicBool::new(false));
    for signal in STOP {
        // The order counts: the first signal only raises the flag. Without handlers, it ends the process.
        let _ = flag::register_conditional_default(signal, Arc::clone(&told))
            .and_then(|_| flag::register(signal, Arc::clone(&told)));
    }
    let Ok(mut signals) = Signals::new(STOP) else { return Ok(work.await) };
    tokio::select! {
        done = work => Ok(done),
        Some(signal) = signals.next() => Err(Stopped(signal)),
    }
}

/// From now on no signal ends this process but one that no process can do anything about.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn outlive() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        // A handler that nobody looks at.
        flag::register(signal, Arc::default())?;
    }
    Ok(())
}

impl Stopped {
    /// Ends the process as the signal would have, which is what a shell waits to see.
    pub fn end(self) {
        let _ = emulate_default_handler(self.0);
    }
}
