//! The lab's own certificate authority: who vouches for its address, so that a client can check it.
//!
//! A directory keeps the authority, so that whoever trusts it goes on doing so after a restart:
//! `ca.pem`, which clients are told to trust, and `ca.key`, for its owner's eyes. Name constraints
//! bind it to loopback and to the address that the lab listened on first: on a machine that trusts
//! it, a stolen key opens nothing else. The lab's own certificate is made at each start, and its key
//! never leaves the process. The lab's clock can be set; certificates go by the machine's, as the
//! clients' checks do.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use time::UtcDateTime;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::{CertificateError, Error as TlsError, RootCertStore};

use crate::host::replace::{Access, replace_file};
use crate::pure::advice::{Advice, Exit};
use crate::pure::secret::Secret;

/// The certificate that clients trust.
pub const CERTIFICATE_FILE: &str = "ca.pem";

/// The key that signs, mode 0600.
pub const KEY_FILE: &str = "ca.key";

/// What a person reads in a list of authorities; also how the lab's own client knows one.
const NAME: &str = "Rolekeeper lab CA (rehearsal only)";

/// Ten years: an authority is trusted by hand, and that should be done once.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3652 * 24 * 3600);

/// The longest that Apple's systems accept of a certificate whose authority a person added; others
/// accept more. No lab runs that long.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(825 * 24 * 3600);

/// How far both begin in the past. A machine without a battery-backed clock wakes at the hour when
/// it last saved one, which may have been weeks ago.
const BACKDATED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Who signs the lab's certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// Absolute, and UTF-8.
    certificate_file: PathBuf,
}

/// A certificate and its key, as a server needs them.
#[derive(Debug)]
pub struct ServerIdentity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

/// Why the lab has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    #[error("cannot write {path}: {error}", path = .0.display(), error = .1)]
    Write(PathBuf, io::Error),
    #[error("{path} belongs to another user, or others can write to it", path = .0.display())]
    Shared(PathBuf),
    #[error("{path} holds no {what}", path = .0.display(), what = .1)]
    Malformed(PathBuf, &'static str),
    #[error("{path} is there, and its key is not", path = .0.display())]
    KeyMissing(PathBuf),
    #[error("{path} does not vouch for {address}: {why}", path = .file.display())]
    Unfit { file: PathBuf, address: IpAddr, why: String },
    #[error("no certificate can be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error("the certificate cannot be used: {0}")]
    Tls(String),
}

impl Authority {
    /// The authority that `directory` keeps; a new one for `address` when it keeps none. Nothing
    /// that is there is overwritten.
    ///
    /// # Errors
    ///
    /// See [`AuthorityError`].
    pub fn open(
        directory: &Path,
        address: IpAddr,
        now: UtcDateTime,
    ) -> Result<Self, AuthorityError> {
        let directory = std::path::absolute(directory)
            .and_then(|path| {
                path.to_str().map(PathBuf::from).ok_or(ErrorKind::InvalidFilename.into())
            })
            .map_err(|error| AuthorityError::Write(directory.to_owned(), error))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)
            .map_err(|error| AuthorityError::Write(directory.clone(), error))?;
        // Two labs that start at once make one authority. Released at the end.
        let alone =
            lock(&directory).map_err(|error| AuthorityError::Read(directory.clone(), error))?;
        if !is_ours(&alone).map_err(|error| AuthorityError::Read(directory.clone(), error))? {
            return Err(AuthorityError::Shared(directory));
        }
        let certificate_file = directory.join(CERTIFICATE_FILE);
        let kept = read_if_there(&certificate_file)?;
        // The key first: without a certificate it is harmless, and gets one at the next start.
        let key = match read_if_there(&directory.join(KEY_FILE))?.map(Secret::new) {
            Some(pem) => KeyPair::from_pem(pem.expose())
                .map_err(|_| AuthorityError::Malformed(directory.join(KEY_FILE), "private key"))?,
            None if kept.is_some() => return Err(AuthorityError::KeyMissing(certificate_file)),
            None => {
                let key = KeyPair::generate()?;
                let pem = Secret::new(key.serialize_pem());
                write(&directory, KEY_FILE, pem.expose(), Access::PRIVATE)?;
                key
            }
        };
        let params = authority_params(address, now);
        let certificate = match kept {
            Some(pem) => CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
                AuthorityError::Malformed(certificate_file.clone(), "PEM certificate")
            })?,
            None => {
                let made = params.self_signed(&key)?;
                let everyone = Access { mode: 0o644, ..Access::PRIVATE };
                write(&directory, CERTIFICATE_FILE, &made.pem(), everyone)?;
                made.into()
            }
        };
        Ok(Self { certificate, issuer: Issuer::new(params, key), certificate_file })
    }

    /// Where the certificate is that clients are told to trust.
    pub fn certificate_file(&self) -> &Path {
        &self.certificate_file
    }

    /// A new certificate for a server at `address`, which also has loopback's names, proven as a
    /// client would: by signature and name constraints.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Unfit`] when a kept authority has another key, or may not vouch for
    /// `address`.
    pub fn certify(
        &self,
        address: IpAddr,
        now: UtcDateTime,
    ) -> Result<ServerIdentity, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate: CertificateDer<'static> =
            server_params(address, now)?.signed_by(&key, &self.issuer)?.into();
        for name in names(address) {
            self.prove(&certificate, &name, now).map_err(|error| AuthorityError::Unfit {
                file: self.certificate_file.clone(),
                address,
                why: match error {
                    // The only one that has no name of its own: a name constraint.
                    TlsError::InvalidCertificate(CertificateError::Other(_)) => {
                        "it is bound to others".to_owned()
                    }
                    error => error.to_string(),
                },
            })?;
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(ServerIdentity { certificate, key })
    }

    fn prove(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UtcDateTime,
    ) -> Result<(), TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::General(error.to_string()))?;
        let now = Duration::from_secs(now.unix_timestamp().try_into().unwrap_or(0));
        let now = UnixTime::since_unix_epoch(now);
        verifier.verify_server_cert(certificate, &[], name, &[], now).map(drop)
    }
}

/// Whether a PEM bundle holds certificates of labs, and nothing else. A client that trusts such a
/// bundle never takes AWS for a lab.
pub fn is_of_labs(bundle: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    let mut of_a_lab = |der: CertificateDer<'static>| {
        // The name's text stands in the certificate as it is.
        der.windows(NAME.len()).any(|part| part == NAME.as_bytes()) && roots.add(der).is_ok()
    };
    CertificateDer::pem_slice_iter(bundle).all(|der| der.is_ok_and(&mut of_a_lab))
        && !roots.is_empty()
}

/// The cryptography of the lab's TLS: the one that the AWS SDK brings along.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Advice for AuthorityError {
    fn remedy(&self) -> String {
        match self {
            Self::Read(..) | Self::Write(..) | Self::Shared(_) => {
                "a --tls-dir in a directory that you, and nobody else, may write".to_owned()
            }
            Self::Malformed(..) | Self::KeyMissing(_) | Self::Unfit { .. } => {
                "another --tls-dir, which gets a new authority; trust that one's ca.pem".to_owned()
            }
            Self::Making(_) | Self::Tls(_) => "report this".to_owned(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Read(..)
            | Self::Shared(_)
            | Self::Malformed(..)
            | Self::KeyMissing(_)
            | Self::Unfit { .. } => Exit::BadData,
            Self::Write(..) => Exit::CannotCreate,
            Self::Making(_) | Self::Tls(_) => Exit::Bug,
        }
    }
}

fn authority_params(address: IpAddr, now: UtcDateTime) -> CertificateParams {
    let mut permitted = vec![
        GeneralSubtree::DnsName("localhost".to_owned()),
        GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
        GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
    ];
    if !address.is_loopback() && !address.is_unspecified() {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, whole)));
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = named(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    (params.not_before, params.not_after) = validity(AUTHORITY_LIFE, now);
    params
}

fn server_params(address: IpAddr, now: UtcDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Rolekeeper lab");
    params.subject_alt_names = names(address)
        .into_iter()
        .map(|name| match name {
            ServerName::IpAddress(address) => Ok(SanType::IpAddress(address.into())),
            name => name.to_str().as_ref().try_into().map(SanType::DnsName),
        })
        .collect::<Result<_, _>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(CERTIFICATE_LIFE, now);
    Ok(params)
}

/// Loopback's names, and the address itself if it is one that a client can name.
fn names(address: IpAddr) -> Vec<ServerName<'static>> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if !address.is_unspecified() && !addresses.contains(&address) {
        addresses.push(address);
    }
    let localhost = ServerName::try_from("localhost").ok();
    localhost.into_iter().chain(addresses.into_iter().map(ServerName::from)).collect()
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn validity(life: Duration, now: UtcDateTime) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let begin = now.saturating_sub(BACKDATED.try_into().unwrap_or_default());
    let end = begin.saturating_add(life.try_into().unwrap_or_default());
    (begin.into(), end.into())
}

fn lock(directory: &Path) -> io::Result<Flock<File>> {
    let directory = File::open(directory)?;
    Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Whoever else could write here could have us present an authority of theirs.
fn is_ours(directory: &File) -> io::Result<bool> {
    let metadata = directory.metadata()?;
    Ok(metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0)
}

fn read_if_there(path: &Path) -> Result<Option<String>, AuthorityError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuthorityError::Read(path.to_owned(), error)),
    }
}

fn write(directory: &Path, name: &str, text: &str, access: Access) -> Result<(), AuthorityError> {
    replace_file(directory, name, text.as_bytes(), access)
        .map_err(|error| AuthorityError::Write(directory.join(name), error))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52);

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn days(days: i64) -> time::Duration {
        time::Duration::days(days)
    }

    #[test]
    fn an_authority_survives_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("a/tls");
        let first = Authority::open(&place, LOOPBACK, NOW).unwrap();
        let mode = |name: &str| place.join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(CERTIFICATE_FILE), mode(KEY_FILE)), (0o644, 0o600));
        let pem = std::fs::read(first.certificate_file()).unwrap();
        assert!(is_of_labs(&pem));

        let second = Authority::open(&place, LOOPBACK, NOW + days(400)).unwrap();
        assert_eq!(second.certificate, first.certificate);
        let identity = second.certify(LOOPBACK, NOW + days(400)).unwrap();
        let localhost = ServerName::try_from("localhost").unwrap();
        assert_eq!(first.prove(&identity.certificate, &localhost, NOW + days(400)), Ok(()));
        assert_eq!(std::fs::read(first.certificate_file()).unwrap(), pem);
    }

    #[test]
    fn labs_that_start_at_once_make_one_authority() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Authority::open(directory.path(), LOOPBACK, NOW).unwrap();
        let authorities = std::thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(open));
            threads.map(|thread| thread.join().unwrap())
        });
        for authority in &authorities {
            assert_eq!(authority.certificate, authorities[0].certificate);
            authority.certify(LOOPBACK, NOW).unwrap();
        }
    }

    #[test]
    fn certificates_hold_for_clocks_that_are_weeks_behind_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path(), LOOPBACK, NOW).unwrap();
        let certificate = authority.certify(LOOPBACK, NOW).unwrap().certificate;
        for name in names(LOOPBACK) {
            for (at, holds) in [(-31, false), (-29, true), (0, true), (794, true), (796, false)] {
                let proof = authority.prove(&certificate, &name, NOW + days(at));
                assert_eq!(proof.is_ok(), holds, "day {at}: {proof:?}");
            }
        }
    }

    #[test]
    fn an_authority_vouches_for_loopback_and_its_own_address_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (near, far) = (directory.path().join("near"), directory.path().join("far"));
        let near = Authority::open(&near, LOOPBACK, NOW).unwrap();
        let error = near.certify(OTHER, NOW).unwrap_err().to_string();
        assert!(error.ends_with("does not vouch for 192.0.2.7: it is bound to others"), "{error}");

        let far = Authority::open(&far, OTHER, NOW).unwrap();
        for address in ["192.0.2.7", "127.0.0.53", "::1", "0.0.0.0", "::"] {
            far.certify(address.parse().unwrap(), NOW).unwrap();
        }
        for address in ["192.0.2.8", "::ffff:192.0.2.7", "2001:db8::1"] {
            far.certify(address.parse().unwrap(), NOW).unwrap_err();
        }
    }

    #[test]
    fn what_is_in_the_directory_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let open = || Authority::open(place, LOOPBACK, NOW);
        open().unwrap();
        let (certificate, key) = (place.join(CERTIFICATE_FILE), place.join(KEY_FILE));
        let kept = std::fs::read_to_string(&certificate).unwrap();

        // Somebody else's key does not fit.
        std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let error = open().unwrap().certify(LOOPBACK, NOW).unwrap_err();
        assert!(matches!(error, AuthorityError::Unfit { .. }), "{error}");
        std::fs::write(&key, "no key").unwrap();
        assert!(matches!(open().unwrap_err(), AuthorityError::Malformed(..)));
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(open().unwrap_err(), AuthorityError::KeyMissing(_)));
        assert_eq!(std::fs::read_to_string(&certificate).unwrap(), kept);

        // Of a start that ended between the two files.
        std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::remove_file(&certificate).unwrap();
        open().unwrap().certify(LOOPBACK, NOW).unwrap();
        std::fs::write(&certificate, "no certificate").unwrap();
        assert!(matches!(open().unwrap_err(), AuthorityError::Malformed(..)));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let allow = |mode| std::fs::set_permissions(directory.path(), Permissions::from_mode(mode));
        for (mode, used) in [(0o770, false), (0o1777, false), (0o755, true)] {
            allow(mode).unwrap();
            let opened = Authority::open(directory.path(), LOOPBACK, NOW);
            assert_eq!(opened.is_ok(), used, "{mode:o}");
            assert_eq!(directory.path().join(KEY_FILE).exists(), used);
        }
    }

    #[test]
    fn a_bundle_that_trusts_others_is_not_of_a_lab() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path(), LOOPBACK, NOW).unwrap();
        let ours = std::fs::read_to_string(authority.certificate_file()).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let theirs = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        assert!(is_of_labs(format!("{ours}{ours}").as_bytes()));
        for bundle in ["", "no certificate", &theirs, &format!("{ours}{theirs}")] {
            assert!(!is_of_labs(bundle.as_bytes()), "{bundle}");
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path(), LOOPBACK, NOW).unwrap();
        let identity = authority.certify(LOOPBACK, NOW).unwrap();
        let shown = format!("{authority:?} {identity:?}");
        let hidden = |der: &[u8]| !shown.contains(&format!("{der:?}"));
        assert!(
            hidden(identity.key.secret_der()) && hidden(authority.issuer.key().serialized_der())
        );
        assert!(shown.contains("elided"), "{shown}");
    }
}
