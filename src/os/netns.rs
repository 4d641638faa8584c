//! Named network namespaces (ip-netns(8)).

use crate::os::error::{OsError, doing};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;

/// Where they are.
const FOLDER: &str = "/run/netns";

/// Moves the calling thread, and with it everything it starts later, into a network namespace.
///
/// # Errors
/// There is none of this name; no permission (CAP_SYS_ADMIN).
pub fn enter(name: &str) -> Result<(), OsError> {
    let what = || format!("cannot enter the network namespace {name}");
    let path = Path::new(FOLDER).join(name);
    let file = File::open(&path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let error = OsError::new(what(), error);
        if missing {
            error.hint("there is none in /run/netns; make it first: ip netns add")
        } else {
            error
        }
    })?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(doing(what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_namespace_is_named_with_the_way_out() {
        let error = enter("mainstay-no-such-namespace").unwrap_err().to_string();
        assert!(error.contains("mainstay-no-such-namespace"), "{error}");
        assert!(error.contains("ip netns add"), "{error}");
    }
}
