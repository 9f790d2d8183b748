//! A captured request: the head and body of one HTTP/1.1 message, as a proxy or a dump shows it.

use crate::lab::message::Request;

/// The longest head that is read; AWS's services take a quarter of it.
const LONGEST_HEAD: usize = 64 * 1024;

/// The most headers that are read, as many as the lab's server takes.
const MOST_HEADERS: usize = 100;

/// One request, read from a capture.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// With its body as it was before it was chunked.
    pub request: Request,
    /// How the body stood in the capture.
    pub framing: Framing,
    /// What an absolute request target (`POST http://HOST/`) names.
    pub authority: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// Neither `Content-Length` nor chunks: all that follows the head.
    #[default]
    ToTheEnd,
    /// `declared` bytes by `Content-Length`, of which `there` were in the capture.
    Length {
        declared: u64,
        there: u64,
    },
    Chunked,
    /// Chunked, and the last chunk is missing.
    ChunkedTorn,
    /// `Transfer-Encoding: chunked`, and the capture has the body without its chunks.
    Unchunked,
}

/// What cannot be read as a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCapture {
    #[error("the capture is empty")]
    Empty,
    #[error("line {0} is no request line, as in 'POST / HTTP/1.1'")]
    RequestLine(usize),
    #[error("line {0} is no header, as in 'Host: ssm.us-east-1.amazonaws.com'")]
    Header(usize),
    #[error("the head is longer than 64 KiB, or has more than {MOST_HEADERS} headers")]
    Head,
}

impl Capture {
    /// Reads bytes. Lines may end with CR LF or with LF alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedCapture> {
        let mut rest = bytes;
        let mut number = 0;
        let mut next = |rest: &mut &[u8]| {
            number += 1;
            take_line(rest).map(|line| (number, String::from_utf8_lossy(line).into_owned()))
        };
        let (at, first) = loop {
            match next(&mut rest) {
                None => return Err(MalformedCapture::Empty),
                Some((_, line)) if line.trim().is_empty() => {}
                Some(found) => break found,
            }
        };
        let mut capture = request_line(&first).ok_or(MalformedCapture::RequestLine(at))?;
        let headers = &mut capture.request.headers;
        while let Some((at, line)) = next(&mut rest) {
            if line.is_empty() {
                break;
            }
            if headers.len() == MOST_HEADERS || bytes.len() - rest.len() > LONGEST_HEAD {
                return Err(MalformedCapture::Head);
            }
            match (line.strip_prefix([' ', '\t']), headers.last_mut()) {
                // A folded line goes on with the value before it (RFC 9112, section 5.2).
                (Some(more), Some((_, value))) => {
                    value.push(' ');
                    value.push_str(more.trim());
                }
                _ => headers.push(header(&line).ok_or(MalformedCapture::Header(at))?),
            }
        }
        capture.take_body(rest);
        Ok(capture)
    }

    fn take_body(&mut self, rest: &[u8]) {
        let chunked = self.request.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("transfer-encoding")
                && value.to_ascii_lowercase().contains("chunked")
        });
        let declared = self.request.header("content-length").and_then(|sent| sent.parse().ok());
        (self.request.body, self.framing) = match (chunked, declared) {
            (true, _) => chunks(rest).unwrap_or_else(|| (rest.to_vec(), Framing::Unchunked)),
            (false, None) => (rest.to_vec(), Framing::ToTheEnd),
            (false, Some(declared)) => {
                let there = rest.len().min(usize::try_from(declared).unwrap_or(usize::MAX));
                let framing = Framing::Length { declared, there: there as u64 };
                (rest[..there].to_vec(), framing)
            }
        };
    }
}

/// `POST / HTTP/1.1`, where the target may be a whole URL.
fn request_line(line: &str) -> Option<Capture> {
    let mut words = line.split_ascii_whitespace();
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let well_formed = words.next().is_none()
        && version.starts_with("HTTP/")
        && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !well_formed {
        return None;
    }
    let url = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let (authority, target) = match url {
        Some(url) => {
            let (authority, path) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
            (Some(authority.to_owned()), path)
        }
        None => (None, target),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = if path.is_empty() { "/" } else { path };
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    Some(Capture { request, authority, ..Capture::default() })
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let well_formed = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    well_formed.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The data of the chunks. None when it does not begin with a chunk's size.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, Framing)> {
    let mut rest = bytes;
    let mut body = Vec::new();
    let mut size = chunk_size(take_line(&mut rest)?)?;
    while size > 0 {
        let there = size.min(rest.len());
        body.extend_from_slice(&rest[..there]);
        rest = &rest[there..];
        // The line end that closes the data, then the next size.
        let next = take_line(&mut rest).filter(|line| line.is_empty());
        match next.and_then(|_| take_line(&mut rest)).and_then(chunk_size) {
            Some(next) => size = next,
            None => return Some((body, Framing::ChunkedTorn)),
        }
    }
    Some((body, Framing::Chunked))
}

/// Hexadecimal, extensions after `;` left out.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?.split(';').next()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| usize::from_str_radix(text, 16).ok()).flatten()
}

/// The next line without its end. None at the end of the bytes.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = &rest[..end.unwrap_or(rest.len())];
    *rest = end.map_or(&[][..], |end| &rest[end + 1..]);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_line_end_and_either_framing_give_the_same_request() {
        let plain = "POST /p?q=1 HTTP/1.1\nHost:  h \nContent-Length: 5\n\nab\ncd";
        let chunked = "\nPOST http://h/p?q=1 HTTP/1.1\nHost: h\nTransfer-Encoding: Chunked\n\n\
                       2;x=y\nab\n3\n\ncd\n0\n\n";
        for text in [plain, chunked] {
            let capture = Capture::parse(text.as_bytes()).unwrap();
            assert_eq!(capture.request.body, b"ab\ncd", "{text}");
            assert_eq!((&*capture.request.path, &*capture.request.query), ("/p", "q=1"));
            assert_eq!(capture.request.header("host"), Some("h"));
        }
        let with_cr = plain.replace('\n', "\r\n").replace("b\r\nc", "b\nc");
        let capture = Capture::parse(with_cr.as_bytes()).unwrap();
        assert_eq!(capture.request.body, b"ab\ncd");
        assert_eq!(capture.framing, Framing::Length { declared: 5, there: 5 });
    }

    #[test]
    fn bodies_that_are_not_as_declared_are_noticed() {
        let framing = |text: &str| Capture::parse(text.as_bytes()).unwrap().framing;
        let short = "POST / HTTP/1.1\nContent-Length: 9\n\nabc";
        assert_eq!(framing(short), Framing::Length { declared: 9, there: 3 });
        let head = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n";
        assert_eq!(framing(&format!("{head}5\nabc")), Framing::ChunkedTorn);
        assert_eq!(framing(&format!("{head}3\nabc\n")), Framing::ChunkedTorn);
        assert_eq!(framing(&format!("{head}{{\"a\":1}}")), Framing::Unchunked);
        assert_eq!(framing("POST / HTTP/1.1\n\nabc"), Framing::ToTheEnd);
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_line() {
        use MalformedCapture as E;
        for (text, expected) in [
            ("", E::Empty),
            ("\r\n\r\n", E::Empty),
            ("\nHTTP/1.1 200 OK\n", E::RequestLine(2)),
            ("POST /\n", E::RequestLine(1)),
            ("POST / HTTP/1.1\nHost: h\nno colon\n", E::Header(3)),
            ("POST / HTTP/1.1\n: x\n", E::Header(2)),
        ] {
            assert_eq!(Capture::parse(text.as_bytes()).unwrap_err(), expected, "{text:?}");
        }
        let heads = ["a: b\n".repeat(101), format!("a: {}\n", "b".repeat(LONGEST_HEAD))];
        for headers in heads {
            let text = format!("POST / HTTP/1.1\n{headers}\n");
            assert_eq!(Capture::parse(text.as_bytes()).unwrap_err(), E::Head);
        }
    }
}
