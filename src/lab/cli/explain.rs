//! `rolekeeper-lab explain`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::{LabError, print, print_json, table};
use crate::keys::PublicKey;
use crate::lab::explain::{
    Capture, Explanation, Finding, Framing, Key, Secrecy, Signature, Signed, Writing, explain,
};
use crate::pure::secret::Secret;
use crate::pure::signing::{parse_amz_date, sha256_hex};

/// The largest capture that is read: the lab's largest body, and a head.
const LARGEST_CAPTURE: u64 = 2 * 1024 * 1024;

/// The largest key file that is read; an RSA-2048 public key in PEM has 451 bytes.
const LARGEST_KEY_FILE: u64 = 16 * 1024;

/// Explain a captured request: what its Authorization header says, what it should have signed, and
/// why its signature does not verify.
///
/// Reads one HTTP/1.1 request, head and body, as a proxy or a packet dump shows it; lines may end
/// with CR LF or LF, the body may be chunked. Nothing is sent anywhere, and no secret is shown: a
/// session token is shortened in the canonical request.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab explain request.http
  rolekeeper-lab explain request.http --public-key node.pem \\
      --at 20261122T000052Z
  rolekeeper-lab explain --secret-access-key-file secret.txt --json \\
      < request.http | jq .departures

Exit status: 0 when a key that was given verifies it, 65 when none does, \
64 usage.")]
pub struct Explain {
    /// The captured request; standard input when absent or '-'
    #[arg(value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Try this RSA public key: SubjectPublicKeyInfo in PEM, or its base64 alone
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// Try the secret access key that this file holds
    #[arg(long, value_name = "FILE")]
    secret_access_key_file: Vec<PathBuf>,
    /// When the request arrived, as 20261122T000052Z: judge its date, too
    #[arg(long, value_name = "DATE", value_parser = moment)]
    at: Option<UtcDateTime>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub async fn run(self) -> Result<(), LabError> {
        let keys = self.keys()?;
        let bytes = self.read_capture()?;
        let capture = Capture::parse(&bytes)?;
        let explanation = explain(&capture, &keys, self.at);
        if self.json {
            print_json(&as_json(&capture, &keys, &explanation))?;
        } else {
            print(&printable(&in_words(&capture, &keys, &explanation)))?;
        }
        match explanation.verifies() {
            Some(true) => Ok(()),
            Some(false) => Err(LabError::Signature(parts(&explanation))),
            None => Err(LabError::NoKey),
        }
    }

    fn keys(&self) -> Result<Vec<Key>, LabError> {
        let public = self.public_key.iter().map(|path| {
            let key = PublicKey::decode(&base64_of(&read_text(path)?))
                .map_err(|error| LabError::Key(path.clone(), error.to_string()))?;
            Ok(Key { name: path.display().to_string(), secrecy: Secrecy::Public(key) })
        });
        let secret = self.secret_access_key_file.iter().map(|path| {
            let text = Secret::new(read_text(path)?);
            let secret = text.expose().trim();
            if secret.is_empty() || secret.contains(char::is_whitespace) {
                let why = "expected one secret access key and nothing else";
                return Err(LabError::Key(path.clone(), why.to_owned()));
            }
            let secret = Secret::new(secret.to_owned());
            Ok(Key { name: path.display().to_string(), secrecy: Secrecy::Secret(secret) })
        });
        public.chain(secret).collect()
    }

    fn read_capture(&self) -> Result<Vec<u8>, LabError> {
        let path = self.capture.as_deref().filter(|path| *path != Path::new("-"));
        let read = match path {
            Some(path) => read_bounded(path, LARGEST_CAPTURE),
            None => bounded(io::stdin().lock(), LARGEST_CAPTURE),
        };
        let shown = path.unwrap_or(Path::new("standard input"));
        read.map_err(|error| LabError::Read(shown.to_owned(), error))
    }
}

fn read_text(path: &Path) -> Result<String, LabError> {
    let bytes = read_bounded(path, LARGEST_KEY_FILE)
        .map_err(|error| LabError::Read(path.to_owned(), error))?;
    String::from_utf8(bytes).map_err(|_| LabError::Key(path.to_owned(), "not text".to_owned()))
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, most)
}

fn bounded(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {} KiB", most / 1024)));
    }
    Ok(bytes)
}

/// PEM without its first and last line; base64 alone as it is.
fn base64_of(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect()
}

fn moment(text: &str) -> Result<UtcDateTime, String> {
    parse_amz_date(text).ok_or_else(|| "expected a moment such as 20261122T000052Z".to_owned())
}

/// `body-hash, body`: what the departures are about, each once.
fn parts(explanation: &Explanation) -> String {
    let mut names = Vec::new();
    for departure in &explanation.departures {
        if !names.contains(&departure.part.name()) {
            names.push(departure.part.name());
        }
    }
    names.join(", ")
}

fn in_words(capture: &Capture, keys: &[Key], explanation: &Explanation) -> String {
    let mut rows = vec![row("Request", request_line(capture))];
    if let Some(signed) = &explanation.signed {
        rows.extend(header_rows(capture, signed));
    }
    for (key, finding) in keys.iter().zip(&explanation.findings) {
        rows.push(row("Key", format!("{}: {}", key.name, description(*finding))));
    }
    let mut text = table(&rows);
    if let Some(signed) = &explanation.signed {
        let blocks = [
            ("Canonical request", &signed.canonical_request),
            ("String to sign", &signed.string_to_sign),
        ];
        for (title, block) in blocks {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{title}\n");
            for line in block.split('\n') {
                let indent = if line.is_empty() { "" } else { "  " };
                let _ = writeln!(text, "{indent}{line}");
            }
        }
    }
    if !explanation.departures.is_empty() {
        text.push_str("\nDepartures\n");
        for departure in &explanation.departures {
            let _ = writeln!(text, "  {departure}");
        }
    }
    let _ = writeln!(text, "\n{}", conclusion(explanation));
    text
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn header_rows(capture: &Capture, signed: &Signed) -> Vec<Vec<String>> {
    let authorization = &signed.authorization;
    let scope = &authorization.scope;
    let date = capture.request.header("x-amz-date").unwrap_or("-");
    vec![
        row("Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        row(
            "Credential id",
            format!("{}, {}", authorization.credential_id, signed.signer.description()),
        ),
        row(
            "Scope",
            format!(
                "date {}, region {}, service {}, aws4_request",
                scope.date, scope.region, scope.service
            ),
        ),
        row("Date", date.to_owned()),
        row("Signed headers", authorization.signed_headers.join(";")),
        row("Not signed", or_dash(not_signed(capture, signed).join(";"))),
        row("Signature", signature(signed)),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn request_line(capture: &Capture) -> String {
    let request = &capture.request;
    let body = match capture.framing {
        Framing::Chunked | Framing::ChunkedTorn => "chunked",
        Framing::Unchunked => "chunked, captured without its chunks",
        Framing::Length { .. } => "by Content-Length",
        Framing::ToTheEnd => "to the end of the capture",
    };
    format!("{} {}, {} bytes of body ({body})", request.method, request.path, request.body.len())
}

fn not_signed(capture: &Capture, signed: &Signed) -> Vec<String> {
    capture
        .request
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| {
            name != "authorization" && !signed.authorization.signed_headers.contains(name)
        })
        .collect()
}

fn signature(signed: &Signed) -> String {
    let kind = match &signed.signature {
        Signature::Rsa(_) => "RSA-2048 signature, 256 bytes",
        Signature::Hmac(_) => "HMAC-SHA256, 32 bytes",
        Signature::Unknown => "no known kind",
    };
    let characters = signed.authorization.signature.chars().count();
    format!("{kind}, in {}, {characters} characters", writing(signed.writing))
}

fn writing(writing: Writing) -> &'static str {
    match writing {
        Writing::Hex => "hex",
        Writing::Base64 => "base64",
        Writing::Neither => "neither hex nor base64",
    }
}

fn description(finding: Finding) -> &'static str {
    match finding {
        Finding::Signed => "signed this text",
        Finding::Departs => "made this signature, which departs from what verifies",
        Finding::OtherKey => "did not make this signature",
        Finding::Disagrees => "disagrees: another key, or another text",
        Finding::OtherKind => "is for the other kind of signature",
    }
}

fn conclusion(explanation: &Explanation) -> &'static str {
    match explanation.verifies() {
        Some(true) => "It verifies.",
        Some(false) => "It does not verify.",
        None => "Nothing departs; whether it verifies, only its key can tell.",
    }
}

fn as_json(capture: &Capture, keys: &[Key], explanation: &Explanation) -> Value {
    let request = &capture.request;
    let findings = keys.iter().zip(&explanation.findings).map(|(key, finding)| {
        json!({
            "key": key.name,
            "signed": *finding == Finding::Signed,
            "finding": description(*finding),
        })
    });
    let signed = explanation.signed.as_ref();
    json!({
        "verifies": explanation.verifies(),
        "request": {
            "method": request.method,
            "path": request.path,
            "body_bytes": request.body.len(),
            "body_sha256": sha256_hex(&request.body),
        },
        "authorization": signed.map(|signed| authorization_json(capture, signed)),
        "canonical_request": signed.map(|signed| &signed.canonical_request),
        "string_to_sign": signed.map(|signed| &signed.string_to_sign),
        "keys": findings.collect::<Vec<_>>(),
        "departures": explanation.departures,
    })
}

fn authorization_json(capture: &Capture, signed: &Signed) -> Value {
    let authorization = &signed.authorization;
    let scope = &authorization.scope;
    let kind = match signed.signature {
        Signature::Rsa(_) => Some("rsa"),
        Signature::Hmac(_) => Some("hmac"),
        Signature::Unknown => None,
    };
    json!({
        "algorithm": "AWS4-HMAC-SHA256",
        "credential_id": authorization.credential_id,
        "signer": signed.signer.description(),
        "scope": { "date": scope.date, "region": scope.region, "service": scope.service },
        "signed_headers": authorization.signed_headers,
        "not_signed": not_signed(capture, signed),
        "signature": {
            "kind": kind,
            "writing": writing(signed.writing),
            "characters": authorization.signature.chars().count(),
        },
    })
}

/// A capture may hold anything: control characters are shown, not sent to the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('\n'),
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2J\tb\n"), "a\\u{1b}[2J\\tb\n");
    }

    #[test]
    fn pem_and_base64_alone_are_the_same_key() {
        let pem = "-----BEGIN PUBLIC KEY-----\r\nAB\r\nCD\r\n-----END PUBLIC KEY-----\r\n";
        assert_eq!(base64_of(pem), "ABCD");
        assert_eq!(base64_of("ABCD\n"), "ABCD");
    }
}
