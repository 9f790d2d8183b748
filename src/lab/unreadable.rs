//! A reason for whoever sends what is no HTTP request, or half of one.
//!
//! Hyper answers a head that it cannot read by itself, with a status and no body, before anybody is
//! asked. That answer is held back here until the connection's error is known, which says why.

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};

use crate::host::clock::timeout;

/// How long and how much the rest of an unreadable request is read and thrown away: closing with
/// unread bytes would reset the connection, and the answer could be lost.
const LINGER: Duration = Duration::from_secs(2);
const LARGEST_REST: u64 = 1024 * 1024;

/// A connection whose last answer, if it is one of Hyper's own, waits for its reason.
#[derive(Debug)]
pub struct Withholding<S> {
    stream: S,
    withheld: Option<Vec<u8>>,
    /// Something has come since the last answer.
    begun: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Withholding<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, withheld: None, begun: false }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The end of a connection that Hyper is done with: the reason is told if there is one.
    pub async fn finish(mut self, ended: Result<(), hyper::Error>) {
        let answer = match (self.withheld.take(), ended.err()) {
            (Some(bare), Some(error)) if error.is_parse() => told(status_line(&bare), &error),
            // One of ours that looks like one of Hyper's.
            (Some(bare), _) => bare,
            // To the others not even Hyper says a word.
            (None, Some(error)) if error.is_parse_version_h2() => {
                told("HTTP/1.1 505 HTTP Version Not Supported", &error)
            }
            (None, Some(error)) if error.is_timeout() && self.begun => {
                told("HTTP/1.1 408 Request Timeout", &"its head did not arrive in time")
            }
            (None, _) => return,
        };
        let said = async {
            self.stream.write_all(&answer).await?;
            self.stream.shutdown().await?;
            copy(&mut self.stream.take(LARGEST_REST), &mut sink()).await
        };
        // A client that does not listen gets no other chance.
        let _ = timeout(LINGER, said).await;
    }
}

/// Whether these bytes are a whole answer of Hyper's own: the last one, a client's mistake, and not
/// a header or a byte more than it takes.
fn is_bare(bytes: &[u8]) -> bool {
    let Some(head) = bytes
        .strip_suffix(b"\r\n\r\n")
        .filter(|head| head.starts_with(b"HTTP/1."))
        .and_then(|head| std::str::from_utf8(head).ok())
    else {
        return false;
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.collect::<Vec<_>>();
    status.starts_with('4')
        && headers.contains(&"connection: close")
        && headers.contains(&"content-length: 0")
        && headers.len() == 2 + headers.iter().filter(|line| line.starts_with("date: ")).count()
}

fn status_line(answer: &[u8]) -> &str {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    std::str::from_utf8(line).unwrap_or("HTTP/1.1 400 Bad Request")
}

fn told(status_line: &str, why: &dyn Display) -> Vec<u8> {
    let reason = format!("this is no HTTP/1.1 request that the lab can read: {why}\n");
    format!(
        "{status_line}\r\nconnection: close\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{reason}",
        reason.len()
    )
    .into_bytes()
}

impl<S: AsyncRead + Unpin> AsyncRead for Withholding<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.begun |= buffer.filled().len() > before;
        outcome
    }
}

/// Hyper writes an answer's head from its first byte on, so one look at each write is enough.
impl<S: AsyncWrite + Unpin> AsyncWrite for Withholding<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begun = false;
        if is_bare(bytes) {
            self.withheld = Some(bytes.to_vec());
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.withheld {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut self.stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypers_own_answer_is_told_from_ours() {
        let hypers = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                      date: Sun, 22 Nov 2026 00:00:52 GMT\r\n\r\n";
        assert!(is_bare(hypers.as_bytes()));
        assert_eq!(status_line(hypers.as_bytes()), "HTTP/1.1 400 Bad Request");
        for ours in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
             content-type: text/plain\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert!(!is_bare(ours.as_bytes()), "{ours}");
        }
    }
}
