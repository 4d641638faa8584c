//! What a call asks for, read from its method and parameters.

use crate::ctl::interface::{
    CONTROL, CONTROL_DESCRIPTION, Call, Refusal, SERVICE, SERVICE_DESCRIPTION, info,
};
use serde_json::{Map, Value, json};

/// Events in one reply unless asked otherwise.
const EVENTS_USUAL: usize = 100;
/// Events in one reply at the most.
const EVENTS_MOST: usize = 1024;
/// The longest a drain, a takeover or a log level may be asked for: ten years.
const LONGEST: f64 = 315_360_000.0;
/// The longest reason, name or value, in bytes.
pub(super) const REASON: usize = 256;

/// What a call asks for.
#[derive(Clone, PartialEq, Debug)]
pub enum Asked {
    /// Known without asking anybody.
    Ready(Value),
    /// The running state.
    Status,
    /// Part of the journal.
    Events(EventsAsked),
    /// Every router heard.
    Neighbours,
    /// Trackers that other programs feed.
    Trackers,
    /// Something that changes the daemon.
    Act(Act),
}

/// Which events are asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventsAsked {
    /// Only numbers above this, oldest first; `None` for the newest.
    pub since: Option<u64>,
    /// Only of this instance.
    pub instance: Option<String>,
    /// Only these kinds; empty for all.
    pub kinds: Vec<String>,
    /// Not older than so many seconds.
    pub age_s: Option<f64>,
    /// At most so many.
    pub limit: usize,
}

/// What changes the daemon.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// Read the configuration again.
    Reload {
        /// Only say what would change.
        dry_run: bool,
    },
    /// Move away and stay away.
    Drain {
        /// Which.
        whom: Whom,
        /// For how long, why.
        term: Term,
        /// Leave even if nobody takes over.
        force: bool,
    },
    /// End a drain or a takeover.
    Undrain {
        /// Which.
        whom: Whom,
    },
    /// Serve now.
    Takeover {
        /// Which.
        whom: Whom,
        /// For how long, why.
        term: Term,
    },
    /// A report on an external tracker.
    SetTracker {
        /// Which.
        name: String,
        /// `up`, `down` or a number.
        value: String,
        /// For so many seconds only.
        for_s: Option<f64>,
    },
    /// From which level on the log tells.
    Log {
        /// `error`, `warn`, `info` or `debug`.
        level: String,
        /// For so many seconds only.
        for_s: Option<f64>,
    },
}

impl Act {
    /// Whether nobody but root may do it; otherwise the daemon decides.
    pub const fn needs_root(&self) -> bool {
        match self {
            Self::Reload { .. }
            | Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Takeover { .. }
            | Self::Log { .. } => true,
            Self::SetTracker { .. } => false,
        }
    }
}

/// Which instances are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// One instance, or a sync group by its name.
    One(String),
    /// The only one there is; an error if there are more.
    Only,
    /// Every one.
    All,
}

/// How long an operator's intent holds, and why.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Term {
    /// So many seconds; `None` until it is ended.
    pub for_s: Option<f64>,
    /// The reason given.
    pub reason: Option<String>,
}

impl Call {
    /// What is asked for.
    pub fn asked(&self) -> Result<Asked, Refusal> {
        if self.upgrade == Some(true) {
            return Err(Refusal::InvalidParameter("upgrade".into()));
        }
        let (interface, method) = self
            .method
            .rsplit_once('.')
            .ok_or_else(|| Refusal::MethodNotFound(self.method.clone()))?;
        match (interface, method) {
            (SERVICE, "GetInfo") => {
                self.only(&[])?;
                Ok(Asked::Ready(info()))
            }
            (SERVICE, "GetInterfaceDescription") => {
                self.only(&["interface"])?;
                let name = self
                    .parameters
                    .as_ref()
                    .and_then(|parameters| parameters.get("interface")?.as_str())
                    .ok_or_else(|| Refusal::InvalidParameter("interface".into()))?;
                let text = match name {
                    SERVICE => SERVICE_DESCRIPTION,
                    CONTROL => CONTROL_DESCRIPTION,
                    _ => return Err(Refusal::InterfaceNotFound(name.to_owned())),
                };
                Ok(Asked::Ready(json!({ "description": text })))
            }
            (CONTROL, "Status") => {
                self.only(&[])?;
                Ok(Asked::Status)
            }
            (CONTROL, "Events") => {
                self.only(&["since", "instance", "kinds", "age_s", "limit"])?;
                Ok(Asked::Events(self.events()?))
            }
            (CONTROL, "Neighbours") => {
                self.only(&[])?;
                Ok(Asked::Neighbours)
            }
            (CONTROL, "Trackers") => {
                self.only(&[])?;
                Ok(Asked::Trackers)
            }
            (
                CONTROL,
                method @ ("Reload" | "Drain" | "Undrain" | "Takeover" | "SetTracker" | "Log"),
            ) => self.act(method).map(Asked::Act),
            (SERVICE | CONTROL, _) => Err(Refusal::MethodNotFound(self.method.clone())),
            _ => Err(Refusal::InterfaceNotFound(interface.to_owned())),
        }
    }

    fn events(&self) -> Result<EventsAsked, Refusal> {
        let limit = self.count("limit")?.unwrap_or(EVENTS_USUAL as u64);
        let kinds = match self.given("kinds") {
            None => Vec::new(),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| Refusal::InvalidParameter("kinds".into()))?,
        };
        Ok(EventsAsked {
            since: self.count("since")?,
            instance: self.text("instance")?,
            kinds,
            age_s: self.seconds("age_s")?,
            limit: usize::try_from(limit)
                .unwrap_or(EVENTS_MOST)
                .clamp(1, EVENTS_MOST),
        })
    }

    fn act(&self, method: &str) -> Result<Act, Refusal> {
        match method {
            "Reload" => {
                self.only(&["dry_run"])?;
                let dry_run = self.flag("dry_run")?;
                Ok(Act::Reload { dry_run })
            }
            "Drain" => {
                self.only(&["instance", "all", "for_s", "reason", "force"])?;
                Ok(Act::Drain {
                    whom: self.whom()?,
                    term: self.term()?,
                    force: self.flag("force")?,
                })
            }
            "Undrain" => {
                self.only(&["instance", "all"])?;
                Ok(Act::Undrain { whom: self.whom()? })
            }
            "Takeover" => {
                self.only(&["instance", "all", "for_s", "reason"])?;
                Ok(Act::Takeover {
                    whom: self.whom()?,
                    term: self.term()?,
                })
            }
            "SetTracker" => {
                self.only(&["name", "value", "for_s"])?;
                let needed = |name: &str| {
                    let text = self.text(name)?.filter(|text| text.len() <= REASON);
                    text.ok_or_else(|| Refusal::InvalidParameter(name.to_owned()))
                };
                Ok(Act::SetTracker {
                    name: needed("name")?,
                    value: needed("value")?,
                    for_s: self.seconds("for_s")?,
                })
            }
            "Log" => {
                self.only(&["level", "for_s"])?;
                let level = self.text("level")?;
                let known = ["error", "warn", "info", "debug"];
                let level = level
                    .filter(|word| known.contains(&word.as_str()))
                    .ok_or_else(|| Refusal::InvalidParameter("level".into()))?;
                let for_s = self.seconds("for_s")?;
                Ok(Act::Log { level, for_s })
            }
            _ => Err(Refusal::MethodNotFound(self.method.clone())),
        }
    }

    fn whom(&self) -> Result<Whom, Refusal> {
        match (self.text("instance")?, self.flag("all")?) {
            (Some(_), true) => Err(Refusal::InvalidParameter("all".into())),
            (Some(name), false) => Ok(Whom::One(name)),
            (None, true) => Ok(Whom::All),
            (None, false) => Ok(Whom::Only),
        }
    }

    fn term(&self) -> Result<Term, Refusal> {
        let reason = self.text("reason")?;
        if reason.as_ref().is_some_and(|text| text.len() > REASON) {
            return Err(Refusal::InvalidParameter("reason".into()));
        }
        Ok(Term {
            for_s: self.seconds("for_s")?,
            reason,
        })
    }

    /// A parameter that is there and not null.
    fn given(&self, name: &str) -> Option<&Value> {
        let value = self.parameters.as_ref()?.get(name)?;
        (!value.is_null()).then_some(value)
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        self.given(name)
            .map(|value| read(value).ok_or_else(|| Refusal::InvalidParameter(name.to_owned())))
            .transpose()
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.read(name, |value| value.as_str().map(str::to_owned))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.read(name, Value::as_bool)?.unwrap_or(false))
    }

    fn count(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.read(name, Value::as_u64)
    }

    fn seconds(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let sound = |s: &f64| s.is_finite() && *s > 0.0 && *s <= LONGEST;
        self.read(name, |value| value.as_f64().filter(sound))
    }

    /// Refuses parameters the method does not have: a mistyped one must not be taken for absent.
    fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self
            .parameters
            .iter()
            .flat_map(Map::keys)
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(Refusal::InvalidParameter(name.clone())),
            None => Ok(()),
        }
    }
}
