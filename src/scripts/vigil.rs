//! What is to be said of a program that was looked at again when it was started: once, not at each start.

use crate::model::notice::Level;
use crate::scripts::vet::UNSAFE;
use std::collections::BTreeMap;

/// What stands against programs, by their owners.
#[derive(Debug, Default)]
pub struct Vigil {
    said: BTreeMap<String, String>,
}

impl Vigil {
    /// A program was started. `warning`: why it is not safe, empty if it is. `owner` is asked only if
    /// something is to be said. Returns what.
    pub fn started(
        &mut self,
        warning: &str,
        owner: impl FnOnce() -> Option<String>,
    ) -> Option<(Level, String)> {
        if warning.is_empty() && self.said.is_empty() {
            return None;
        }
        let owner = owner()?;
        if !warning.is_empty() {
            return self.say(owner, format!("{UNSAFE}{warning}"));
        }
        self.said.remove(&owner)?;
        Some((Level::Info, format!("{owner}: runs, and is safe again")))
    }

    /// A program was not started, and it is the program's fault. Returns what is to be said.
    pub fn refused(
        &mut self,
        why: &str,
        owner: impl FnOnce() -> Option<String>,
    ) -> Option<(Level, String)> {
        self.say(owner()?, format!("not run: {why}"))
    }

    fn say(&mut self, owner: String, what: String) -> Option<(Level, String)> {
        if self.said.get(&owner) == Some(&what) {
            return None;
        }
        let text = format!("{owner}: {what}");
        self.said.insert(owner, what);
        Some((Level::Warn, text))
    }

    /// Everything that stands.
    pub fn standing(&self) -> impl Iterator<Item = String> {
        self.said
            .iter()
            .map(|(owner, what)| format!("{owner}: {what}"))
    }

    /// The configuration was read again, and everything in it judged anew.
    pub fn forget(&mut self) {
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chk() -> Option<String> {
        Some("vrrp_script chk".to_owned())
    }

    #[test]
    fn the_same_is_said_once_and_the_end_of_it_too() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.started("", || panic!("nothing to say")), None);
        let warn = |text: &str| Some((Level::Warn, text.to_owned()));
        assert_eq!(
            vigil.refused("/x is gone", chk),
            warn("vrrp_script chk: not run: /x is gone")
        );
        assert_eq!(vigil.refused("/x is gone", chk), None);
        assert_eq!(
            vigil.refused("/x is open", chk),
            warn("vrrp_script chk: not run: /x is open")
        );
        assert_eq!(
            vigil.started("/x is open", chk),
            warn("vrrp_script chk: runs although it is not safe: /x is open")
        );
        assert_eq!(vigil.started("/x is open", chk), None);
        assert_eq!(vigil.standing().count(), 1);
        let again = "vrrp_script chk: runs, and is safe again".to_owned();
        assert_eq!(vigil.started("", chk), Some((Level::Info, again)));
        assert_eq!(vigil.started("", chk), None);
        assert_eq!(vigil.standing().count(), 0);
    }

    #[test]
    fn what_nobody_knows_is_not_told() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.refused("/x is gone", || None), None);
        assert_eq!(vigil.standing().count(), 0);
    }
}
