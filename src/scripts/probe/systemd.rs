//! Whether systemd calls a unit active: one question in the language of D-Bus.
//!
//! systemd itself is asked, or, where it does not let us, over the system bus.

use super::Failure;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// systemd's own socket, for root.
const MANAGER: &str = "/run/systemd/private";
const BUS: &str = "/run/dbus/system_bus_socket";
/// No answer we want is longer.
const MOST: usize = 64 << 10;
/// Messages that may come before the answer.
const OTHERS_MOST: usize = 64;

/// A unit that reloads its configuration goes on working (systemctl is-active).
const ACTIVE: [&str; 3] = ["active", "reloading", "refreshing"];

pub(super) async fn is_active(unit: &str) -> Result<(), Failure> {
    let fail = |error: io::Error| {
        // It restarts itself; that says nothing of the unit.
        let restarts = [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::UnexpectedEof,
        ];
        if restarts.contains(&error.kind()) {
            Failure::Ours(format!("systemd cannot be asked just now: {error}"))
        } else {
            Failure::of("systemd cannot be asked", &error)
        }
    };
    let state = match UnixStream::connect(MANAGER).await {
        Ok(stream) => ask(stream, unit, false).await,
        Err(_) => match UnixStream::connect(BUS).await {
            Ok(stream) => ask(stream, unit, true).await,
            Err(error) => Err(error),
        },
    }
    .map_err(fail)?;
    if ACTIVE.contains(&&*state) {
        return Ok(());
    }
    Err(Failure::Found(format!("{unit} is {state}")))
}

async fn ask(mut stream: UnixStream, unit: &str, bus: bool) -> io::Result<String> {
    let user: String = nix::unistd::geteuid()
        .to_string()
        .bytes()
        .map(|digit| format!("{digit:02x}"))
        .collect();
    // systemd does not look at a message that reaches it together with BEGIN, before more comes.
    let hello = format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n");
    stream.write_all(hello.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() > 512 {
            return Err(strange("its greeting does not end"));
        }
        line.push(stream.read_u8().await?);
    }
    if !line.starts_with(b"OK ") {
        return Err(strange("it does not let us in"));
    }
    let mut request = Vec::new();
    let mut serial = 0;
    if bus {
        serial += 1;
        let own = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        request.extend(call(serial, own, path, own, "Hello", &[]));
    }
    serial += 1;
    // systemd itself does not answer either unless it is named.
    let to = "org.freedesktop.systemd1";
    let body = ["org.freedesktop.systemd1.Unit", "ActiveState"];
    request.extend(call(
        serial,
        to,
        &path_of(unit),
        "org.freedesktop.DBus.Properties",
        "Get",
        &body,
    ));
    stream.write_all(&request).await?;
    for _ in 0..OTHERS_MOST {
        let message = receive(&mut stream).await?;
        match answer(&message, serial) {
            Answer::Value(state) => return Ok(state),
            Answer::Error(name) => return Err(io::Error::other(name)),
            Answer::Other => {}
            Answer::Nonsense => return Err(strange("its answer is not understood")),
        }
    }
    Err(strange("it does not answer"))
}

fn strange(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

/// Where systemd keeps a unit: letters and digits stand for themselves, the rest is written as `_`
/// and two hexadecimal digits, and so is a digit in front.
fn path_of(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (index, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path += &format!("_{byte:02x}");
        }
    }
    path
}

// ---- the wire format (D-Bus specification, "Message Protocol") --------------------------------------

/// Kinds of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;
/// Kind, flags, length and serial, then the length of the fields.
const HEAD: usize = 16;

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &str) {
    bytes.push(signature.len() as u8);
    bytes.extend(signature.as_bytes());
    bytes.push(0);
}

/// A method call whose arguments are all strings.
fn call(
    serial: u32,
    to: &str,
    path: &str,
    interface: &str,
    member: &str,
    arguments: &[&str],
) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        put_text(&mut body, argument);
    }
    let mut fields = Vec::new();
    let mut text = |code: u8, signature: &str, value: &str| {
        align(&mut fields, 8);
        fields.push(code);
        put_signature(&mut fields, signature);
        put_text(&mut fields, value);
    };
    text(PATH, "o", path);
    text(INTERFACE, "s", interface);
    text(MEMBER, "s", member);
    text(DESTINATION, "s", to);
    if !arguments.is_empty() {
        align(&mut fields, 8);
        fields.push(SIGNATURE);
        put_signature(&mut fields, "g");
        put_signature(&mut fields, &"s".repeat(arguments.len()));
    }
    let mut message = vec![b'l', CALL, 0, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend((fields.len() as u32).to_le_bytes());
    message.extend(fields);
    align(&mut message, 8);
    message.extend(body);
    message
}

async fn receive(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEAD];
    stream.read_exact(&mut message).await?;
    let length = length_of(&message)
        .filter(|length| *length <= MOST)
        .ok_or_else(|| strange("its answer is not understood"))?;
    message.resize(length, 0);
    let rest = message.get_mut(HEAD..).unwrap_or_default();
    stream.read_exact(rest).await?;
    Ok(message)
}

/// A little-endian message's whole length, from its first bytes. Both ends run on this machine, but
/// a bus passes on what others write as they wrote it.
fn length_of(head: &[u8]) -> Option<usize> {
    let fields = number(head, 12)?;
    HEAD.checked_add(fields)?
        .checked_next_multiple_of(8)?
        .checked_add(number(head, 4)?)
}

/// A number in the byte order that the message names.
fn number(message: &[u8], at: usize) -> Option<usize> {
    let bytes = message.get(at..at.checked_add(4)?)?.try_into().ok()?;
    let number = match message.first()? {
        b'l' => u32::from_le_bytes(bytes),
        b'B' => u32::from_be_bytes(bytes),
        _ => return None,
    };
    usize::try_from(number).ok()
}

/// What a message means to whoever waits for an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Answer {
    /// A variant with a string in it.
    Value(String),
    /// The name of an error.
    Error(String),
    /// It is not the answer.
    Other,
    /// It is, but is not understood.
    Nonsense,
}

fn answer(message: &[u8], serial: u32) -> Answer {
    let Some(fields) = fields(message) else {
        return Answer::Nonsense;
    };
    let ours = fields.reply_to == Some(serial as usize);
    match message.get(1) {
        Some(&RETURN) if ours => value(message).map_or(Answer::Nonsense, Answer::Value),
        Some(&ERROR) if ours || fields.reply_to.is_some_and(|to| to < serial as usize) => {
            Answer::Error(fields.error.unwrap_or_default())
        }
        Some(_) | None => Answer::Other,
    }
}

#[derive(Default)]
struct Fields {
    reply_to: Option<usize>,
    error: Option<String>,
}

fn fields(message: &[u8]) -> Option<Fields> {
    let end = HEAD.checked_add(number(message, 12)?)?;
    let mut fields = Fields::default();
    let mut at = HEAD;
    while at < end {
        at = at.next_multiple_of(8);
        let code = *message.get(at)?;
        let kind = *message.get(at + 2)?;
        if *message.get(at + 1)? != 1 {
            return None;
        }
        at += 4;
        match kind {
            b's' | b'o' => {
                at = at.next_multiple_of(4);
                let (text, next) = text(message, at)?;
                if code == ERROR_NAME {
                    fields.error = Some(text.to_owned());
                }
                at = next;
            }
            b'g' => at += 2 + usize::from(*message.get(at)?),
            b'u' => {
                at = at.next_multiple_of(4);
                if code == REPLY_SERIAL {
                    fields.reply_to = Some(number(message, at)?);
                }
                at += 4;
            }
            _ => return None,
        }
    }
    Some(fields)
}

/// The string in the variant that is the body.
fn value(message: &[u8]) -> Option<String> {
    let body = HEAD.checked_add(number(message, 12)?)?.next_multiple_of(8);
    (message.get(body..body + 3)? == b"\x01s\0").then_some(())?;
    Some(text(message, body + 4)?.0.to_owned())
}

fn text(message: &[u8], at: usize) -> Option<(&str, usize)> {
    let length = number(message, at)?;
    let start = at.checked_add(4)?;
    let end = start.checked_add(length)?;
    let text = std::str::from_utf8(message.get(start..end)?).ok()?;
    Some((text, end.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_systemd_names_them() {
        let of = |unit: &str| {
            path_of(unit)
                .rsplit('/')
                .next()
                .expect("a name of ours")
                .to_owned()
        };
        assert_eq!(of("nginx.service"), "nginx_2eservice");
        assert_eq!(of("user@1000.service"), "user_401000_2eservice");
        assert_eq!(of("3proxy.service"), "_33proxy_2eservice");
        assert_eq!(of("a-b_c.mount"), "a_2db_5fc_2emount");
    }

    /// A reply as systemd writes it.
    fn reply(kind: u8, serial: u32, error: Option<&str>, body: &[u8]) -> Vec<u8> {
        let mut fields = vec![REPLY_SERIAL];
        put_signature(&mut fields, "u");
        fields.extend(serial.to_le_bytes());
        if let Some(error) = error {
            align(&mut fields, 8);
            fields.push(ERROR_NAME);
            put_signature(&mut fields, "s");
            put_text(&mut fields, error);
        }
        align(&mut fields, 8);
        fields.push(SIGNATURE);
        put_signature(&mut fields, "g");
        put_signature(&mut fields, "v");
        let mut message = vec![b'l', kind, 1, 1];
        message.extend((body.len() as u32).to_le_bytes());
        message.extend(1_u32.to_le_bytes());
        message.extend((fields.len() as u32).to_le_bytes());
        message.extend(fields);
        align(&mut message, 8);
        message.extend(body);
        message
    }

    const ACTIVE_BODY: &[u8] = b"\x01s\0\0\x06\0\0\0active\0";

    #[test]
    fn the_answer_to_our_question_counts_and_no_other() {
        let value = Answer::Value("active".to_owned());
        assert_eq!(answer(&reply(RETURN, 2, None, ACTIVE_BODY), 2), value);
        assert_eq!(
            answer(&reply(RETURN, 1, None, ACTIVE_BODY), 2),
            Answer::Other
        );
        let refused = reply(ERROR, 2, Some("org.x.AccessDenied"), b"");
        let error = Answer::Error("org.x.AccessDenied".to_owned());
        assert_eq!(answer(&refused, 2), error);
        assert_eq!(
            answer(&reply(RETURN, 2, None, b"\x01u\0\0\x06\0\0\0"), 2),
            Answer::Nonsense
        );
    }

    #[test]
    fn a_message_cut_short_is_no_answer_and_its_length_is_known_from_its_head() {
        let whole = reply(RETURN, 2, Some("e"), ACTIVE_BODY);
        assert_eq!(length_of(&whole[..HEAD]), Some(whole.len()));
        for length in 0..whole.len() - 1 {
            let said = answer(&whole[..length], 2);
            assert!(
                matches!(said, Answer::Nonsense | Answer::Other),
                "{length} bytes: {said:?}"
            );
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let whole = reply(RETURN, 2, Some("e"), ACTIVE_BODY);
        for at in 0..whole.len() {
            for byte in [0, 1, 4, 7, 0x7f, 0x80, 0xff, b's', b'u', b'B'] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = (length_of(&bent), answer(&bent, 2));
            }
        }
    }
}
