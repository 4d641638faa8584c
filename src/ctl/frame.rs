//! Bytes to messages: what stands between two NUL bytes, within a limit.

/// Spare room asked for before each read.
const CHUNK: usize = 4096;

/// A message grew beyond the limit before it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// Bytes received and not yet taken.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    /// Up to here there is no NUL byte.
    scanned: usize,
    limit: usize,
}

impl Frames {
    /// Messages of at most `limit` bytes, the NUL not counted.
    pub const fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit,
        }
    }

    /// Nothing received that was not taken.
    pub const fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Where the next bytes are to be appended. [`Frames::take`] must have said that nothing whole
    /// is left, so what is kept never exceeds the limit and one read.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.is_empty() && self.buffer.capacity() > 2 * CHUNK {
            // One large message must not cost its memory for as long as the connection lasts.
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..self.start);
        }
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// The next whole message, without its NUL.
    pub fn take(&mut self) -> Result<Option<&[u8]>, TooLarge> {
        let end = self.buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == 0)
            .map(|offset| self.scanned + offset);
        let length = end.unwrap_or(self.buffer.len()) - self.start;
        if length > self.limit {
            return Err(TooLarge { limit: self.limit });
        }
        let Some(end) = end else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        let start = std::mem::replace(&mut self.start, end + 1);
        self.scanned = self.start;
        Ok(Some(&self.buffer[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_may_have_exactly_the_limit_and_no_more() {
        let mut frames = Frames::new(4);
        frames.room().extend(b"1234\0");
        assert_eq!(frames.take(), Ok(Some(&b"1234"[..])));
        assert_eq!(frames.take(), Ok(None));
        frames.room().extend(b"1234");
        assert_eq!(frames.take(), Ok(None), "it may still end here");
        frames.room().extend(b"5");
        assert_eq!(frames.take(), Err(TooLarge { limit: 4 }));
        let mut frames = Frames::new(4);
        frames.room().extend(b"12345\0");
        assert_eq!(frames.take(), Err(TooLarge { limit: 4 }));
    }

    #[test]
    fn memory_of_a_large_message_is_given_back() {
        let mut frames = Frames::new(60_000);
        let mut message = vec![b'x'; 50_000];
        message.push(0);
        frames.room().extend(&message);
        assert!(frames.take().is_ok_and(|m| m.is_some()));
        assert!(frames.room().capacity() < 10_000);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_messages_are_the_same(
            messages in proptest::collection::vec(proptest::collection::vec(1u8.., 0..20), 0..10),
            cuts in proptest::collection::vec(1usize..7, 1..40),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let mut frames = Frames::new(20);
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                frames.room().extend(now);
                while let Some(message) = frames.take().expect("within the limit") {
                    seen.push(message.to_vec());
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert!(frames.is_empty());
        }
    }
}
