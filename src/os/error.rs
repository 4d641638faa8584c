//! What could not be done, on what, and the way out.

use std::fmt;
use std::io;

/// A system call that set something up and failed.
#[derive(Debug)]
pub struct OsError {
    what: String,
    source: io::Error,
    hint: &'static str,
}

impl OsError {
    /// `what` names the object and the verb: `eth0: cannot join 224.0.0.18`.
    pub fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
            hint: "",
        }
    }

    /// Adds the way out, put in parentheses behind the text.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// The error number, if the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.hint)
        }
    }
}

impl std::error::Error for OsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Makes `.map_err(doing(..))` read as a sentence.
pub(crate) fn doing<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> OsError {
    move |source| OsError::new(what, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_on_what_why_and_the_way_out() {
        let error = OsError::new(
            "eth0: cannot join 224.0.0.18",
            io::Error::from_raw_os_error(libc::ENODEV),
        )
        .hint("is the link up?");
        let text = error.to_string();
        assert!(text.starts_with("eth0: cannot join 224.0.0.18: No such device"));
        assert!(text.ends_with("(is the link up?)"));
        assert_eq!(error.errno(), Some(libc::ENODEV));
    }
}
