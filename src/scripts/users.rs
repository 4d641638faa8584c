//! As whom a program runs: names to numbers.

use crate::model::settings::RunAs;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};
use std::ffi::CString;
use std::fmt;

/// The user scripts run as when the file names none and this one exists (keepalived's rule).
pub const DEFAULT_USER: &str = "keepalived_script";

/// User and group by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who a program becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whom {
    /// User and group.
    pub ids: Ids,
    /// The user's other groups, where they are asked for.
    pub groups: Vec<u32>,
}

impl Whom {
    /// Without other groups.
    pub const fn alone(ids: Ids) -> Self {
        Self {
            ids,
            groups: Vec::new(),
        }
    }

    /// Whether it is in this group.
    pub fn is_in(&self, gid: u32) -> bool {
        self.ids.gid == gid || self.groups.contains(&gid)
    }
}

/// A user or group that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    what: &'static str,
    name: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name } = self;
        write!(
            f,
            "{what} {name} does not exist; create it or name another with user or script_user"
        )
    }
}

impl std::error::Error for Unknown {}

/// Our own user and group.
pub fn own() -> Ids {
    Ids {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    }
}

/// The default script user, if the system has it.
pub fn default_user() -> Option<Ids> {
    let user = User::from_name(DEFAULT_USER).ok().flatten()?;
    Some(Ids {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

/// A user's number; `None` if there is no user of this name. A number stands for itself, as a container
/// knows few names. Blocks: it asks the user database.
pub fn uid_of(user: &str) -> Option<u32> {
    let found = find_user(user).map(|user| user.uid.as_raw());
    found.or_else(|| user.parse().ok())
}

/// The numbers behind a user; without one the default script user, else ourselves.
///
/// A colon before the group asks for the user's other groups too; a lone colon is the user's own
/// group with them.
///
/// # Errors
/// The user or the group does not exist. A number counts only if it belongs to one.
pub fn resolve(whom: Option<&RunAs>) -> Result<Whom, Unknown> {
    let Some(whom) = whom else {
        return Ok(Whom::alone(default_user().unwrap_or_else(own)));
    };
    let user = find_user(&whom.user).ok_or_else(|| Unknown {
        what: "user",
        name: whom.user.to_string(),
    })?;
    let group = whom.group.as_deref().unwrap_or("");
    let others = group.starts_with(':');
    let group = group.strip_prefix(':').unwrap_or(group);
    let gid = if group.is_empty() {
        user.gid
    } else {
        find_group(group).ok_or_else(|| Unknown {
            what: "group",
            name: group.to_owned(),
        })?
    };
    let ids = Ids {
        uid: user.uid.as_raw(),
        gid: gid.as_raw(),
    };
    let groups = if others {
        groups(&user, gid)
    } else {
        Vec::new()
    };
    Ok(Whom { ids, groups })
}

/// All groups of a user, sorted, this one among them.
fn groups(user: &User, gid: Gid) -> Vec<u32> {
    let name = CString::new(user.name.as_str()).unwrap_or_default();
    let found = getgrouplist(&name, gid).unwrap_or_else(|_| vec![gid]);
    let mut groups: Vec<u32> = found.into_iter().map(Gid::as_raw).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn find_user(name: &str) -> Option<User> {
    if let Ok(Some(user)) = User::from_name(name) {
        return Some(user);
    }
    User::from_uid(Uid::from_raw(name.parse().ok()?)).ok()?
}

fn find_group(name: &str) -> Option<Gid> {
    if let Ok(Some(group)) = Group::from_name(name) {
        return Some(group.gid);
    }
    Group::from_gid(Gid::from_raw(name.parse().ok()?))
        .ok()?
        .map(|group| group.gid)
}

/// `root:staff` for numbers, with the number itself where there is no name.
pub fn names(ids: Ids) -> String {
    let user = match User::from_uid(Uid::from_raw(ids.uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => ids.uid.to_string(),
    };
    let group = match Group::from_gid(Gid::from_raw(ids.gid)) {
        Ok(Some(group)) => group.name,
        Ok(None) | Err(_) => ids.gid.to_string(),
    };
    format!("{user}:{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(user: &str, group: Option<&str>) -> RunAs {
        RunAs {
            user: user.into(),
            group: group.map(Into::into),
        }
    }

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = Ids { uid: 0, gid: 0 };
        let ids = |user, group| resolve(Some(&whom(user, group))).map(|whom| whom.ids);
        assert_eq!(ids("root", None), Ok(root));
        assert_eq!(ids("0", Some("0")), Ok(root));
        assert_eq!(ids("root", Some(":")), Ok(root));
        assert_eq!(ids("root", Some(":root")), Ok(root));
    }

    #[test]
    fn a_colon_asks_for_the_users_other_groups() {
        let groups = |group| resolve(Some(&whom("root", group))).map(|whom| whom.groups);
        assert_eq!(groups(None), Ok(vec![]));
        assert_eq!(groups(Some("root")), Ok(vec![]));
        for colon in [":", ":root"] {
            let groups = groups(Some(colon)).expect("known");
            assert!(groups.contains(&0), "{groups:?}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let error = resolve(Some(&whom("no_such_user_here", None))).expect_err("no such user");
        assert!(error.to_string().contains("user no_such_user_here does"));
        let error = resolve(Some(&whom("root", Some("no_such_group")))).expect_err("no such group");
        assert!(error.to_string().contains("group no_such_group does"));
        assert!(resolve(Some(&whom("4123456789", None))).is_err());
    }
}
