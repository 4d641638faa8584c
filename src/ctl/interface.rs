//! The Varlink interface: its text, what a call asks for, and the errors.

pub use crate::ctl::asked::{Act, Asked, EventsAsked, Term, Whom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The interface every Varlink service has.
pub const SERVICE: &str = "org.varlink.service";
/// Ours.
pub const CONTROL: &str = "dev.mainstay.Control";
/// The method behind `mainstay status`.
pub const STATUS: &str = "dev.mainstay.Control.Status";

/// The method behind `mainstay events` and `mainstay why`.
pub const EVENTS: &str = "dev.mainstay.Control.Events";
/// The method behind `mainstay neighbours`.
pub const NEIGHBOURS: &str = "dev.mainstay.Control.Neighbours";
/// The method behind `mainstay reload`.
pub const RELOAD: &str = "dev.mainstay.Control.Reload";
/// The method behind `mainstay drain`.
pub const DRAIN: &str = "dev.mainstay.Control.Drain";
/// The method behind `mainstay undrain`.
pub const UNDRAIN: &str = "dev.mainstay.Control.Undrain";
/// The method behind `mainstay takeover`.
pub const TAKEOVER: &str = "dev.mainstay.Control.Takeover";
/// The method behind `mainstay track set`.
pub const SET_TRACKER: &str = "dev.mainstay.Control.SetTracker";
/// The method behind `mainstay track list`.
pub const TRACKERS: &str = "dev.mainstay.Control.Trackers";
/// The method behind `mainstay log`.
pub const LOG: &str = "dev.mainstay.Control.Log";

/// Description of [`SERVICE`] in Varlink's language.
pub const SERVICE_DESCRIPTION: &str = "\
# What every Varlink service can be asked.
interface org.varlink.service

# Who serves, and which interfaces.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# The text that describes an interface.
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
";

/// Description of [`CONTROL`] in Varlink's language. A test holds it against the types of
/// [`crate::model::view`].
pub const CONTROL_DESCRIPTION: &str = include_str!("control.varlink");

/// A call as it stands on the wire.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Call {
    /// Interface and method.
    pub method: String,
    /// Parameters by name.
    pub parameters: Option<Map<String, Value>>,
    /// The caller would take several replies; a method that has one gives one.
    pub more: Option<bool>,
    /// The caller wants no reply at all, nor an error.
    pub oneway: Option<bool>,
    /// The caller wants to speak something else afterwards.
    pub upgrade: Option<bool>,
}

/// Why a call gets no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such interface.
    InterfaceNotFound(String),
    /// No such method.
    MethodNotFound(String),
    /// A parameter is missing, unknown or of the wrong kind.
    InvalidParameter(String),
    /// Not a Varlink call; the connection is closed.
    BadMessage(String),
    /// Longer than so many bytes; the connection is closed.
    MessageTooLarge(usize),
    /// So many are connected already; the connection is closed.
    TooManyConnections(usize),
    /// The engine did not answer in time.
    Busy(String),
    /// The caller may read and not act.
    PermissionDenied,
    /// The file and what is wrong with it.
    ConfigRefused(String, String),
    /// No such instance, and those there are.
    NoSuchInstance(String, Vec<String>),
    /// No such external tracker, and those there are.
    NoSuchTracker(String, Vec<String>),
    /// The caller may not report on this tracker, and who may.
    NotPermitted(String),
    /// It cannot be done.
    Impossible(String),
    /// So many follow already.
    TooManyFollowers(usize),
}

impl Refusal {
    /// Name and parameters on the wire.
    pub fn reply(&self) -> Value {
        let (interface, name, parameters) = match self {
            Self::InterfaceNotFound(interface) => (
                SERVICE,
                "InterfaceNotFound",
                json!({ "interface": interface }),
            ),
            Self::MethodNotFound(method) => (SERVICE, "MethodNotFound", json!({"method": method})),
            Self::InvalidParameter(parameter) => (
                SERVICE,
                "InvalidParameter",
                json!({ "parameter": parameter }),
            ),
            Self::BadMessage(reason) => (CONTROL, "BadMessage", json!({"reason": reason})),
            Self::MessageTooLarge(limit) => (CONTROL, "MessageTooLarge", json!({"limit": limit})),
            Self::TooManyConnections(limit) => {
                (CONTROL, "TooManyConnections", json!({"limit": limit}))
            }
            Self::Busy(reason) => (CONTROL, "Busy", json!({"reason": reason})),
            Self::PermissionDenied => (SERVICE, "PermissionDenied", json!({})),
            Self::ConfigRefused(file, text) => (
                CONTROL,
                "ConfigRefused",
                json!({"file": file, "text": text}),
            ),
            Self::NoSuchInstance(instance, instances) => (
                CONTROL,
                "NoSuchInstance",
                json!({"instance": instance, "instances": instances}),
            ),
            Self::NoSuchTracker(tracker, trackers) => (
                CONTROL,
                "NoSuchTracker",
                json!({"tracker": tracker, "trackers": trackers}),
            ),
            Self::NotPermitted(reason) => (CONTROL, "NotPermitted", json!({"reason": reason})),
            Self::Impossible(reason) => (CONTROL, "Impossible", json!({"reason": reason})),
            Self::TooManyFollowers(limit) => (CONTROL, "TooManyFollowers", json!({"limit": limit})),
        };
        json!({"error": format!("{interface}.{name}"), "parameters": parameters})
    }
}

impl Call {
    /// Reads one message.
    pub fn parse(message: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(message).map_err(|error| Refusal::BadMessage(error.to_string()))
    }
}

/// Parameters of the reply to `GetInfo`.
pub(super) fn info() -> Value {
    json!({
        "vendor": "Mainstay",
        "product": "mainstay",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": [SERVICE, CONTROL],
    })
}

/// A successful reply as bytes, NUL included.
pub fn reply<P: Serialize>(parameters: &P) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Reply<'a, P> {
        parameters: &'a P,
    }
    message(&Reply { parameters }).map_err(|error| Refusal::Busy(error.to_string()))
}

/// One of several successful replies, NUL included.
pub fn reply_and_more<P: Serialize>(parameters: &P) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Reply<'a, P> {
        parameters: &'a P,
        continues: bool,
    }
    message(&Reply {
        parameters,
        continues: true,
    })
    .map_err(|error| Refusal::Busy(error.to_string()))
}

/// An object as bytes, NUL included.
pub fn message<T: Serialize>(object: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(object)?;
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::history::tests::full_event;
    use crate::ctl::render::tests::full_snapshot;
    use crate::ctl::reply::{
        Change, EventsReply, FedReply, LogReply, NeighboursReply, Ordered, OrdersReply, PlanView,
        ReloadReply, StatusReply, TrackersReply,
    };
    use std::sync::Arc;
    use zlink_idl::{CustomType, Interface, Type};

    fn asked(call: &str) -> Result<Asked, Refusal> {
        Call::parse(call.as_bytes())?.asked()
    }

    #[test]
    fn unknown_words_are_refused_by_name() {
        assert_eq!(
            asked(r#"{"method":"dev.mainstay.Control.Nope"}"#),
            Err(Refusal::MethodNotFound("dev.mainstay.Control.Nope".into()))
        );
        assert_eq!(
            asked(r#"{"method":"org.example.Thing.Nope"}"#),
            Err(Refusal::InterfaceNotFound("org.example.Thing".into()))
        );
        assert_eq!(
            asked(r#"{"method":"Nope"}"#),
            Err(Refusal::MethodNotFound("Nope".into()))
        );
        assert_eq!(
            asked(r#"{"method":"dev.mainstay.Control.Status","parameters":{"nmae":"VI_1"}}"#),
            Err(Refusal::InvalidParameter("nmae".into()))
        );
        assert_eq!(
            asked(
                r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":3}}"#
            ),
            Err(Refusal::InvalidParameter("interface".into()))
        );
        assert_eq!(
            asked(r#"{"method":"dev.mainstay.Control.Status","upgrade":true}"#),
            Err(Refusal::InvalidParameter("upgrade".into()))
        );
    }

    #[test]
    fn absent_null_and_empty_parameters_are_the_same() {
        for parameters in ["", r#","parameters":null"#, r#","parameters":{}"#] {
            let call = format!(r#"{{"method":"dev.mainstay.Control.Status"{parameters}}}"#);
            assert_eq!(asked(&call), Ok(Asked::Status));
        }
    }

    #[test]
    fn garbage_is_a_bad_message() {
        for garbage in [
            "",
            "null",
            "[]",
            "{}",
            "{\"method\":3}",
            "\u{1}",
            "{\"method\"",
        ] {
            assert!(
                matches!(asked(garbage), Err(Refusal::BadMessage(_))),
                "{garbage}"
            );
        }
        let deep = "[".repeat(60_000);
        assert!(matches!(asked(&deep), Err(Refusal::BadMessage(_))));
    }

    fn custom<'a>(interface: &'a Interface<'a>, name: &str) -> &'a CustomType<'a> {
        interface
            .custom_types()
            .find(|custom| *custom.name() == name)
            .unwrap_or_else(|| panic!("type {name} is described"))
    }

    /// Holds a value against a described type, both ways: every key described, every key present.
    fn hold(interface: &Interface<'_>, kind: &Type<'_>, value: &Value, path: &str) {
        match kind {
            Type::Bool => assert!(value.is_boolean(), "{path}: {value}"),
            Type::Int => assert!(value.is_i64() || value.is_u64(), "{path}: {value}"),
            Type::Float => assert!(value.is_number(), "{path}: {value}"),
            Type::String => assert!(value.is_string(), "{path}: {value}"),
            Type::Optional(of) => {
                if !value.is_null() {
                    hold(interface, of.inner(), value, path);
                }
            }
            Type::Array(of) => {
                let list = value.as_array().unwrap_or_else(|| panic!("{path}: array"));
                assert!(!list.is_empty(), "{path}: the sample must fill every list");
                for item in list {
                    hold(interface, of.inner(), item, &format!("{path}[]"));
                }
            }
            Type::Map(of) => {
                let map = value.as_object().unwrap_or_else(|| panic!("{path}: map"));
                assert!(!map.is_empty(), "{path}: the sample must fill every map");
                for item in map.values() {
                    hold(interface, of.inner(), item, &format!("{path}{{}}"));
                }
            }
            Type::Enum(variants) => {
                let word = value.as_str().unwrap_or_else(|| panic!("{path}: word"));
                assert!(
                    variants.iter().any(|variant| variant.name() == word),
                    "{path}: {word} is not described"
                );
            }
            Type::Custom(name) => {
                let object = custom(interface, name.as_ref())
                    .as_object()
                    .expect("an object");
                let map = value
                    .as_object()
                    .unwrap_or_else(|| panic!("{path}: object"));
                for field in object.fields() {
                    let name = field.name().to_string();
                    let value = map
                        .get(&name)
                        .unwrap_or_else(|| panic!("{path}.{name} is described and not sent"));
                    hold(interface, field.ty(), value, &format!("{path}.{name}"));
                }
                assert_eq!(
                    map.len(),
                    object.fields().count(),
                    "{path}: something is sent and not described"
                );
            }
            Type::Object(_) | Type::ForeignObject | Type::Any => {
                panic!("{path}: every type has a name here")
            }
        }
    }

    #[test]
    fn the_description_says_exactly_what_is_sent() {
        let interface = Interface::try_from(CONTROL_DESCRIPTION).expect("valid Varlink");
        assert_eq!(interface.name().to_string(), CONTROL);
        let status = interface
            .methods()
            .find(|method| *method.name() == "Status")
            .expect("Status is described");
        let snapshot = status.outputs().next().expect("one output");
        let bytes = reply(&StatusReply {
            snapshot: full_snapshot(),
        })
        .expect("plain data");
        let sent: Value = serde_json::from_slice(&bytes[..bytes.len() - 1]).expect("JSON");
        hold(
            &interface,
            snapshot.ty(),
            &sent["parameters"]["snapshot"],
            "snapshot",
        );
    }

    /// Holds what a method answers against its description.
    fn holds<P: Serialize>(method: &str, answer: &P) {
        let interface = Interface::try_from(CONTROL_DESCRIPTION).expect("valid Varlink");
        let described = interface
            .methods()
            .find(|known| *known.name() == method)
            .expect("it is described");
        let bytes = reply(answer).expect("plain data");
        let sent: Value = serde_json::from_slice(&bytes[..bytes.len() - 1]).expect("JSON");
        let sent = sent["parameters"].as_object().expect("an object");
        for output in described.outputs() {
            let name = output.name().to_string();
            let value = sent
                .get(&name)
                .unwrap_or_else(|| panic!("{name} is not sent"));
            hold(&interface, output.ty(), value, &name);
        }
        assert_eq!(
            sent.len(),
            described.outputs().count(),
            "{method}: {sent:?}"
        );
    }

    #[test]
    fn every_answer_is_what_its_method_describes() {
        holds(
            "Events",
            &EventsReply {
                events: vec![Arc::new(full_event())],
                ..EventsReply::default()
            },
        );
        holds(
            "Neighbours",
            &NeighboursReply {
                neighbours: full_snapshot().strangers,
            },
        );
        let change = || Change {
            kind: "instance".into(),
            name: "VI_1".into(),
            differs: vec!["priority 100 -> 101".into()],
        };
        let plan = PlanView {
            created: vec![change()],
            changed: vec![change()],
            removed: vec![change()],
            untouched: 1,
            global: vec!["router_id".into()],
            advice: vec!["beware".into()],
        };
        holds(
            "Reload",
            &ReloadReply {
                applied: true,
                plan,
                warnings: vec!["w".into()],
            },
        );
        let ordered = OrdersReply {
            ordered: vec![Ordered {
                instance: "VI_1".into(),
                outcome: "done".into(),
                successor: Some([10, 0, 0, 2].into()),
                took_s: 0.6,
                text: "done".into(),
            }],
        };
        for method in ["Drain", "Undrain", "Takeover"] {
            holds(method, &ordered);
        }
        holds(
            "Trackers",
            &TrackersReply {
                trackers: full_snapshot().externals,
            },
        );
        holds(
            "SetTracker",
            &FedReply {
                name: "db".into(),
                value: "down".into(),
                state: "down".into(),
                counter: "down 0/2".into(),
                changed: true,
                left_s: Some(5.0),
                remark: Some("r".into()),
            },
        );
        let level = "info".to_owned();
        let until_s = Some(1.0);
        holds("Log", &LogReply { level, until_s });
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        for (method, parameters, wrong) in [
            ("Events", r#"{"since":-1}"#, "since"),
            ("Events", r#"{"kinds":"transition"}"#, "kinds"),
            ("Events", r#"{"age_s":0}"#, "age_s"),
            ("Drain", r#"{"for_s":-5}"#, "for_s"),
            ("Drain", r#"{"for_s":1e300}"#, "for_s"),
            ("Drain", r#"{"instance":"a","all":true}"#, "all"),
            ("Drain", r#"{"force":"yes"}"#, "force"),
            ("Takeover", r#"{"force":true}"#, "force"),
            ("SetTracker", r#"{"name":"a"}"#, "value"),
            ("SetTracker", r#"{"value":"up"}"#, "name"),
            ("SetTracker", r#"{"name":"a","value":5}"#, "value"),
            (
                "SetTracker",
                r#"{"name":"a","value":"5","for_s":0}"#,
                "for_s",
            ),
            ("Log", "{}", "level"),
            ("Log", r#"{"level":"loud"}"#, "level"),
        ] {
            let call = format!(r#"{{"method":"{CONTROL}.{method}","parameters":{parameters}}}"#);
            assert_eq!(
                asked(&call),
                Err(Refusal::InvalidParameter(wrong.into())),
                "{call}"
            );
        }
        let long = format!(
            r#"{{"method":"{DRAIN}","parameters":{{"reason":"{}"}}}}"#,
            "x".repeat(crate::ctl::asked::REASON + 1)
        );
        assert_eq!(
            asked(&long),
            Err(Refusal::InvalidParameter("reason".into()))
        );
    }

    #[test]
    fn every_described_method_is_answered_and_every_error_described() {
        let mut errors = Vec::new();
        for text in [SERVICE_DESCRIPTION, CONTROL_DESCRIPTION] {
            let interface = Interface::try_from(text).expect("valid Varlink");
            for method in interface.methods() {
                let call = Call {
                    method: format!("{}.{}", interface.name(), method.name()),
                    parameters: None,
                    more: None,
                    oneway: None,
                    upgrade: None,
                };
                assert!(
                    !matches!(call.asked(), Err(Refusal::MethodNotFound(_))),
                    "{} is described but unknown",
                    call.method
                );
            }
            for error in interface.errors() {
                errors.push(format!("{}.{}", interface.name(), error.name()));
            }
        }
        for refusal in [
            Refusal::PermissionDenied,
            Refusal::ConfigRefused(String::new(), String::new()),
            Refusal::NoSuchInstance(String::new(), Vec::new()),
            Refusal::NoSuchTracker(String::new(), Vec::new()),
            Refusal::NotPermitted(String::new()),
            Refusal::Impossible(String::new()),
            Refusal::TooManyFollowers(0),
            Refusal::InterfaceNotFound(String::new()),
            Refusal::MethodNotFound(String::new()),
            Refusal::InvalidParameter(String::new()),
            Refusal::BadMessage(String::new()),
            Refusal::MessageTooLarge(0),
            Refusal::TooManyConnections(0),
            Refusal::Busy(String::new()),
        ] {
            let reply = refusal.reply();
            let name = reply["error"].as_str().expect("a name");
            assert!(
                errors.iter().any(|error| error == name),
                "{name} is not described"
            );
        }
    }

    #[test]
    fn a_snapshot_survives_the_wire() {
        let sent = StatusReply {
            snapshot: full_snapshot(),
        };
        let text = serde_json::to_string(&sent).expect("plain data");
        let back: StatusReply = serde_json::from_str(&text).expect("the same form");
        assert_eq!(back.snapshot, sent.snapshot);
    }
}
