//! One plain HTTP/1.1 request, of which the status alone matters.

use super::{Failure, reach, tls};
use crate::model::settings::{Place, Tls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An answer's head may have so many bytes.
const MOST: usize = 16 << 10;

/// Whether a GET is answered with a status from 200 to 399.
pub(super) async fn get(
    to: &Place,
    host: &str,
    path: &str,
    how: Option<Tls>,
) -> Result<(), Failure> {
    let stream = reach::connect(to).await?;
    match how {
        None => ask(stream, &format!("http://{host}{path}"), host, path).await,
        Some(how) => {
            let url = format!("https://{host}{path}");
            let stream = tls::wrap(stream, &url, host, how).await?;
            ask(stream, &url, host, path).await
        }
    }
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &str,
    host: &str,
    path: &str,
) -> Result<(), Failure> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mainstay/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    // A server may answer and close before it has read everything: what it said counts.
    let sent = stream.write_all(request.as_bytes()).await;
    let mut head = Vec::with_capacity(1024);
    loop {
        match read(&head) {
            Said::Status(200..=399) => return Ok(()),
            Said::Status(status) => {
                return Err(Failure::Found(format!("{url}: status {status}")));
            }
            Said::Nonsense => {
                return Err(Failure::Found(format!("{url}: the answer is not HTTP/1")));
            }
            Said::Nothing if head.len() >= MOST => {
                return Err(Failure::Found(format!(
                    "{url}: no status within {MOST} bytes"
                )));
            }
            Said::Nothing => {}
        }
        let room = MOST - head.len();
        match (&mut stream).take(room as u64).read_buf(&mut head).await {
            Ok(0) => {
                return Err(match sent {
                    Ok(()) => Failure::Found(format!("{url}: closed without an answer")),
                    Err(error) => Failure::of(url, &error),
                });
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::of(url, &error)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Status(u16),
    /// Not yet.
    Nothing,
    /// What no server says.
    Nonsense,
}

/// The status, after those that only announce one (1xx).
fn read(mut bytes: &[u8]) -> Said {
    loop {
        let start = b"HTTP/1.";
        let Some(rest) = bytes.strip_prefix(start) else {
            return if start.starts_with(bytes) {
                Said::Nothing
            } else {
                Said::Nonsense
            };
        };
        // `1 200` and the blank or line end after it.
        let Some(line) = rest.first_chunk::<6>() else {
            return Said::Nothing;
        };
        let status = match line {
            [b'0' | b'1', b' ', digits @ .., b' ' | b'\r' | b'\n'] => number(digits),
            _ => None,
        };
        match status {
            Some(100..=199) => match bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => bytes = bytes.get(at + 4..).unwrap_or(&[]),
                None => return Said::Nothing,
            },
            Some(status) if status >= 200 => return Said::Status(status),
            Some(_) | None => return Said::Nonsense,
        }
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    let digit = |n: u16, byte: &u8| {
        let value = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        Some(n * 10 + value)
    };
    digits.iter().try_fold(0, digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_as_soon_as_it_is_there() {
        let whole = b"HTTP/1.1 204 No Content\r\n\r\n";
        for length in 0..whole.len() {
            let expected = if length < 13 {
                Said::Nothing
            } else {
                Said::Status(204)
            };
            assert_eq!(read(&whole[..length]), expected, "{length} bytes");
        }
        assert_eq!(read(b"HTTP/1.0 404\r\n"), Said::Status(404));
        assert_eq!(read(b"HTTP/1.1 599 X\r\n"), Said::Status(599));
    }

    #[test]
    fn what_only_announces_an_answer_is_passed_over() {
        let announced = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        assert_eq!(read(announced), Said::Nothing);
        let answered = [announced.as_slice(), b"HTTP/1.1 302 Found\r\n"].concat();
        assert_eq!(read(&answered), Said::Status(302));
    }

    #[test]
    fn other_protocols_are_not_http() {
        for text in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/2 200 \r\n",
            b"HTTP/1.1  200 OK\r\n",
            b"HTTP/1.1 2000 \r\n",
            b"HTTP/1.1 +20 OK\r\n",
            b"HTTP/1.1 099 OK\r\n",
            b"HTTP/1.1 20\xff OK\r\n",
            b"hTTP/1.1 200 OK\r\n",
            b"\r\n",
        ] {
            assert_eq!(read(text), Said::Nonsense, "{text:?}");
        }
    }
}
