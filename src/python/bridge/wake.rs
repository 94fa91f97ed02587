//! How a queue wakes its loop: a file descriptor that the loop watches where it can watch one, a
//! notifier thread with `call_soon_threadsafe` elsewhere. Used by `bridge` alone.

use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;

use super::Drain;

/// The wake-up of one loop.
pub(super) struct Wake {
    descriptor: Option<descriptor::Descriptor>,
    notifier: OnceLock<Mutex<mpsc::Sender<()>>>,
}

impl Wake {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            descriptor: descriptor::Descriptor::new()?,
            notifier: OnceLock::new(),
        })
    }

    /// Tells the loop to call `drain` whenever the queue wakes it.
    pub(super) fn attach(
        &self,
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
        drain: Py<Drain>,
    ) -> PyResult<()> {
        if let Some(descriptor) = &self.descriptor {
            let watched = event_loop.call_method1(
                intern!(py, "add_reader"),
                (descriptor.number(), drain.clone_ref(py)),
            );
            match watched {
                Ok(_) => return Ok(()),
                Err(failure) if super::lacks_add_reader(py, &failure) => {}
                Err(failure) => return Err(failure),
            }
        }
        let weak = py
            .import("weakref")?
            .call_method1("ref", (event_loop,))?
            .unbind();
        let (sender, receiver) = mpsc::channel();
        self.notifier.get_or_init(|| Mutex::new(sender));
        std::thread::Builder::new()
            .name("toolbridge-notifier".into())
            .spawn(move || {
                // The last wake-up comes from the end of the queue, which this thread keeps alive.
                while receiver.recv().is_ok() && !drain.get().0.is_closed() {
                    let told = Python::try_attach(|py| {
                        let event_loop = weak.bind(py).call0()?;
                        // A loop that was closed meanwhile has nobody left to tell.
                        let _ = event_loop.call_method1("call_soon_threadsafe", (&drain,));
                        PyResult::Ok(())
                    });
                    if told.is_none() {
                        break;
                    }
                }
            })?;
        Ok(())
    }

    pub(super) fn wake(&self) {
        if let Some(notifier) = self.notifier.get() {
            // The notifier ends with the interpreter only.
            let _ = notifier
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .send(());
        } else if let Some(descriptor) = &self.descriptor {
            descriptor.signal();
        }
    }

    pub(super) fn clear(&self) {
        if self.notifier.get().is_none()
            && let Some(descriptor) = &self.descriptor
        {
            descriptor.clear();
        }
    }
}

#[cfg(target_os = "linux")]
mod descriptor {
    #![expect(unsafe_code, reason = "eventfd has no wrapper in std or tokio")]

    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd, RawFd};

    /// An eventfd: one number that wakes whoever polls it.
    pub(in crate::python::bridge) struct Descriptor(File);

    impl Descriptor {
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            // SAFETY: eventfd takes two numbers and touches no memory of ours.
            let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if number < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just made and has no other owner.
            Ok(Some(Self(unsafe { File::from_raw_fd(number) })))
        }

        pub(super) fn number(&self) -> RawFd {
            self.0.as_raw_fd()
        }

        pub(super) fn signal(&self) {
            // A full counter means that the loop is already told.
            let _ = (&self.0).write(&1_u64.to_ne_bytes());
        }

        pub(super) fn clear(&self) {
            // Nothing to read means that the loop was woken for a burst that is already gone.
            let _ = (&self.0).read(&mut [0; 8]);
        }
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
mod descriptor {
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::net::UnixStream;

    /// A pair of sockets: a byte in one wakes whoever polls the other.
    pub(in crate::python::bridge) struct Descriptor {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Descriptor {
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Some(Self { reader, writer }))
        }

        pub(super) fn number(&self) -> RawFd {
            self.reader.as_raw_fd()
        }

        pub(super) fn signal(&self) {
            // A full socket means that the loop is already told.
            let _ = (&self.writer).write(&[1]);
        }

        pub(super) fn clear(&self) {
            // Nothing to read means that the loop was woken for a burst that is already gone.
            let _ = (&self.reader).read(&mut [0; 64]);
        }
    }
}

#[cfg(not(unix))]
mod descriptor {
    /// Loops of this platform watch no descriptors.
    pub(in crate::python::bridge) struct Descriptor;

    impl Descriptor {
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn number(&self) -> i32 {
            -1
        }

        pub(super) fn signal(&self) {}

        pub(super) fn clear(&self) {}
    }
}
