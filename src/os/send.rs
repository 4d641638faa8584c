//! Frames collected for one socket and sent many at a time.

use crate::os::sys::{self, To};
use std::fmt;
use std::os::fd::BorrowedFd;

/// A list of frames with their destinations; emptied, never shrunk.
///
/// For a [`crate::os::vrrp_socket::VrrpSocket`] the destination is an `IpAddr`, for a
/// [`crate::os::packet_socket::PacketSocket`] it is `()`: the frame begins with it.
#[derive(Clone, Default)]
pub struct SendBatch<D> {
    bytes: Vec<u8>,
    frames: Vec<(u32, u32, D)>,
}

impl<D: Copy> SendBatch<D> {
    /// Room for so many frames and bytes, so that the steady state allocates nothing.
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            frames: Vec::with_capacity(frames),
        }
    }

    /// Appends a copy of a frame. *Allocates* only while the batch grows.
    pub fn push(&mut self, frame: &[u8], to: D) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        if let (Ok(start), Ok(length)) = (u32::try_from(start), u32::try_from(frame.len())) {
            self.frames.push((start, length, to));
        }
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Drops what waits and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }

    fn frame(&self, index: usize) -> Option<(&[u8], D)> {
        let &(start, length, to) = self.frames.get(index)?;
        let start = start as usize;
        Some((self.bytes.get(start..start + length as usize)?, to))
    }

    /// Sends everything and empties the batch; `failed` hears the index and the errno of each frame
    /// that the kernel did not take, and the rest is sent all the same.
    pub(super) fn flush(
        &mut self,
        fd: BorrowedFd<'_>,
        to: impl Fn(&[u8], D) -> To,
        mut failed: impl FnMut(usize, i32),
    ) -> usize {
        let mut sent = 0;
        let mut next = 0;
        while next < self.len() {
            let result = sys::send_some(fd, next, self.len() - next, |index| {
                // `index` is below `len`, and `push` made every range.
                let (bytes, dest) = self.frame(index).expect("index is below len");
                (bytes, to(bytes, dest))
            });
            match result {
                Ok(count) => {
                    sent += count;
                    next += count.max(1);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed(next, error.raw_os_error().unwrap_or(0));
                    next += 1;
                }
            }
        }
        self.clear();
        sent
    }
}

impl<D> fmt::Debug for SendBatch<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendBatch({} frames)", self.frames.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn every_frame_of_a_refused_batch_is_named_with_its_errno() {
        let pipe = std::io::pipe().unwrap().1;
        let mut batch = SendBatch::with_capacity(3, 30);
        for byte in 0..3 {
            batch.push(&[byte; 10], ());
        }
        let mut failed = Vec::new();
        let to = |_: &[u8], ()| To::Link {
            link: 1,
            protocol: 0x806,
        };
        let sent = batch.flush(pipe.as_fd(), to, |index, errno| failed.push((index, errno)));
        assert_eq!(sent, 0);
        assert_eq!(failed, [0, 1, 2].map(|index| (index, libc::ENOTSOCK)));
        assert!(batch.is_empty());
    }
}
