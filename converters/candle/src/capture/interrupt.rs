//! Waiting for a command through interrupts, so that what is to be put back after it is put back.

use std::io;
use std::process::{Command, ExitStatus};

/// Runs a command to its end. Signals that ask to stop, as Ctrl-C sends them, are passed on to the
/// command instead of ending this process.
pub(super) fn status(command: &mut Command) -> io::Result<ExitStatus> {
    #[cfg(unix)]
    {
        unix::status(command)
    }
    #[cfg(not(unix))]
    {
        command.status()
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::process::{Command, ExitStatus};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI32, Ordering};

    /// The command that runs; 0 for none.
    static CHILD: AtomicI32 = AtomicI32::new(0);
    /// A signal that came before it was known which command runs; 0 for none.
    static PENDING: AtomicI32 = AtomicI32::new(0);
    /// One command at a time.
    static ONE: Mutex<()> = Mutex::new(());

    /// Signals that ask to stop.
    const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    extern "C" fn pass_on(signal: libc::c_int) {
        match CHILD.load(Ordering::SeqCst) {
            0 => PENDING.store(signal, Ordering::SeqCst),
            // SAFETY: `kill` may be called in a handler of signals. It changes no memory.
            child => unsafe {
                libc::kill(child, signal);
            },
        }
    }

    /// Signals are passed on while this is there.
    struct Patient([libc::sighandler_t; 3]);

    impl Patient {
        fn new() -> Self {
            let handler = pass_on as extern "C" fn(libc::c_int) as libc::sighandler_t;
            // SAFETY: the handler only reads an atomic and calls `kill`. Programs that are started
            // have the default handlers again.
            Self(SIGNALS.map(|signal| unsafe {
                let before = libc::signal(signal, handler);
                if before == libc::SIG_IGN {
                    // What was to be ignored (as `nohup` asks for) still is.
                    libc::signal(signal, before);
                }
                before
            }))
        }
    }

    impl Drop for Patient {
        fn drop(&mut self) {
            for (signal, before) in SIGNALS.into_iter().zip(self.0) {
                if before != libc::SIG_ERR {
                    // SAFETY: this is the handler that was there.
                    unsafe { libc::signal(signal, before) };
                }
            }
        }
    }

    pub(super) fn status(command: &mut Command) -> io::Result<ExitStatus> {
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let patient = Patient::new();
        let mut child = command.spawn()?;
        CHILD.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
        match PENDING.swap(0, Ordering::SeqCst) {
            0 => {}
            signal => pass_on(signal),
        }
        let status = child.wait();
        CHILD.store(0, Ordering::SeqCst);
        drop(patient);
        status
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::unix::process::ExitStatusExt;

        #[test]
        fn an_interrupt_ends_the_command_only() {
            // The command interrupts its parent, which is this process.
            let mut command = Command::new("sh");
            command.args(["-c", "kill -INT $PPID; exec sleep 20"]);
            let status = status(&mut command).unwrap();
            assert_eq!(status.signal(), Some(libc::SIGINT), "{status}");
            assert_eq!(CHILD.load(Ordering::SeqCst), 0);
        }
    }
}
