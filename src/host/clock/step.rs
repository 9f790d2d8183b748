//! Tells when the wall clock is set: a timer that never ends, and is cancelled by that (`timerfd_create`
//! of Linux, `TFD_TIMER_CANCEL_ON_SET`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Notices every step from its making on, also while nobody waits. Within a runtime alone.
#[derive(Debug)]
pub(super) struct StepTimer(AsyncFd<OwnedFd>);

impl StepTimer {
    /// # Errors
    ///
    /// What the system calls said.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&timer)?;
        #[expect(
            deprecated,
            reason = "who owns a descriptor keeps it open; the successor is unsafe"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Waits until the wall clock was set.
    ///
    /// # Errors
    ///
    /// What the system calls said.
    pub(super) async fn step(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match rustix::io::read(self.0.get_ref(), &mut [0; 8]) {
                Err(Errno::CANCELED) => {
                    arm(self.0.get_ref())?;
                    ready.clear_ready();
                    return Ok(());
                }
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: i64::MAX, tv_nsec: 0 },
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &never)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// That a step ends the wait is seen where a clock may be set; here, that nothing else does.
    #[tokio::test]
    async fn a_clock_that_is_not_set_has_no_step() {
        let timer = StepTimer::new().unwrap();
        assert!(timer.step().now_or_never().is_none());
    }
}
