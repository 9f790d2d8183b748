//! The file from which a consumer takes its bearer token: `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
//! Without a newline at its end, which botocore refuses and others would send.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use zeroize::Zeroizing;

use super::TOKEN_BYTES;
use crate::host::directory::{UnsafeDirectory, open_file, open_out_of_reach};
use crate::host::replace::{Access, replace_file_at};
use crate::pure::advice::{Advice, Exit};
use crate::pure::drop_in::{delivery_lines, directory_lines, lines_remedy};
use crate::pure::secret::Secret;
use crate::pure::shell::in_shell;

/// A consumer's, and who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// The consumer's name.
    pub consumer: String,
    pub path: PathBuf,
    pub access: Access,
}

/// A file that could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: holds something else than a token, and is left as it is", path.display())]
    Taken { path: PathBuf },
    #[error("{}: is kept for the service's own files", path.display())]
    Reserved { path: PathBuf },
}

impl TokenFile {
    /// The token that is there, if that is one of ours.
    ///
    /// # Errors
    ///
    /// What keeps us from looking. No file is none.
    pub fn read(&self) -> Result<Option<Secret<String>>, TokenFileError> {
        let (directory, name) = self.open_directory()?;
        let opened = open_file(&directory, name).map_err(|error| self.failed(error))?;
        let Some(mut file) = opened else { return Ok(None) };
        let found = fstat(&file).map_err(|errno| self.failed(errno.into()))?;
        if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Ok(None);
        }
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES * 2 + 1]);
        let length = file.read(bytes.as_mut()).map_err(|error| self.failed(error))?;
        let text = str::from_utf8(&bytes[..length]).ok().filter(|text| is_ours(text));
        Ok(text.map(|text| Secret::new(text.to_owned())))
    }

    /// Whether a token may be written there: there is nothing, an empty file, or a token of ours.
    ///
    /// # Errors
    ///
    /// Something else is there, or what keeps us from looking.
    pub fn check_place(&self) -> Result<(), TokenFileError> {
        let (directory, name) = self.open_directory()?;
        let found = match fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(()),
            found => found.map_err(|errno| self.failed(errno.into()))?,
        };
        let is_file = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        let may_be_replaced = is_file
            && match usize::try_from(found.st_size) {
                Ok(0) => true,
                // One that was given away may be closed to us.
                Ok(size) if size == TOKEN_BYTES * 2 => match self.read() {
                    Err(TokenFileError::File { source, .. }) => {
                        source.kind() == io::ErrorKind::PermissionDenied
                    }
                    found => found?.is_some(),
                },
                _ => false,
            };
        match may_be_replaced {
            true => Ok(()),
            false => Err(TokenFileError::Taken { path: self.path.clone() }),
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    ///
    /// What keeps us from it; the file is then as it was.
    pub fn write(&self, token: &Secret<String>) -> Result<(), TokenFileError> {
        let (directory, name) = self.open_directory()?;
        replace_file_at(&directory, name, token.expose().as_bytes(), self.access)
            .map_err(|error| self.failed(error))
    }

    /// Removes a file that holds a token of ours, and no other.
    ///
    /// # Errors
    ///
    /// What keeps us from it.
    pub fn remove(&self) -> Result<(), TokenFileError> {
        if self.read()?.is_none() {
            return Ok(());
        }
        let (directory, name) = self.open_directory()?;
        unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| self.failed(errno.into()))
    }

    fn open_directory(&self) -> Result<(OwnedFd, &OsStr), TokenFileError> {
        let parts = self.path.parent().zip(self.path.file_name());
        let (directory, name): (&Path, _) =
            parts.ok_or_else(|| self.failed(io::ErrorKind::InvalidInput.into()))?;
        Ok((open_out_of_reach(directory, self.access.owner)?, name))
    }

    fn failed(&self, source: io::Error) -> TokenFileError {
        TokenFileError::File { path: self.path.clone(), source }
    }
}

impl Advice for TokenFileError {
    fn remedy(&self) -> String {
        match self {
            Self::Directory(_) => {
                "use a directory that root or the service owns, such as /run/rolekeeper".to_owned()
            }
            Self::File { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                "leave owner and group of its [[consumer]] out, or let the service give files away: "
                    .to_owned()
                    + &lines_remedy(&delivery_lines(&directory_of(path), true, None))
            }
            Self::File { path, source } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                lines_remedy(&directory_lines(&directory_of(path)))
            }
            // Nothing else makes the kernel call it busy: it cannot be replaced.
            Self::File { path, source } if source.raw_os_error() == Some(nix::libc::EBUSY) => {
                let directory = in_shell(&directory_of(path));
                format!("it is a mount point: mount its directory {directory} instead")
            }
            Self::Taken { path } => {
                let path = path.to_string_lossy();
                let (path, aside) = (in_shell(&path), in_shell(&format!("{path}.aside")));
                format!(
                    "give its token_file another path, or put aside what is there: mv {path} {aside}; \
                     then rolekeeper reload"
                )
            }
            Self::Reserved { .. } => {
                "give its token_file another path, then rolekeeper reload".to_owned()
            }
            Self::File { path, .. } => {
                format!("look at what stands in its way: ls -ld {}", in_shell(&path.to_string_lossy()))
            }
        }
    }

    fn exit(&self) -> Exit {
        Exit::CannotCreate
    }
}

fn directory_of(path: &Path) -> String {
    path.parent().unwrap_or(path).to_string_lossy().into_owned()
}

fn is_ours(text: &str) -> bool {
    text.len() == TOKEN_BYTES * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::endpoints::bearer_token;
    use crate::host::entropy::SystemEntropy;

    fn token_file(directory: &Path) -> TokenFile {
        TokenFile {
            consumer: "web".into(),
            path: directory.join("token"),
            access: Access { mode: 0o640, ..Access::PRIVATE },
        }
    }

    #[test]
    fn a_token_is_written_without_a_newline_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = token_file(directory.path());
        assert_eq!(file.read().unwrap(), None);
        let token = bearer_token(&SystemEntropy);
        file.write(&token).unwrap();
        assert_eq!(fs::read(&file.path).unwrap(), token.expose().as_bytes());
        assert_eq!(token.expose().len(), 64);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(file.read().unwrap(), Some(token));
        file.remove().unwrap();
        assert!(!file.path.exists());
    }

    #[test]
    fn a_mount_point_is_told_with_what_to_mount_instead() {
        let file = token_file(Path::new("/run/web"));
        let busy = file.failed(io::Error::from_raw_os_error(nix::libc::EBUSY));
        assert!(busy.remedy().ends_with("mount its directory /run/web instead"), "{busy}");
    }

    #[test]
    fn what_is_no_token_of_ours_is_neither_honoured_nor_removed() {
        let directory = tempfile::tempdir().unwrap();
        let file = token_file(directory.path());
        for text in ["", "sesame", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64)] {
            fs::write(&file.path, text).unwrap();
            assert_eq!(file.read().unwrap(), None, "{text}");
            file.remove().unwrap();
            assert!(file.path.exists());
        }
    }

    #[test]
    fn neither_a_link_nor_a_directory_of_others_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = token_file(directory.path());
        let precious = directory.path().join("precious");
        fs::write(&precious, "a".repeat(64)).unwrap();
        symlink(&precious, &file.path).unwrap();
        assert!(matches!(file.read(), Err(TokenFileError::File { .. })));
        file.write(&bearer_token(&SystemEntropy)).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), [b'a'; 64]);

        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(file.read(), Err(TokenFileError::Directory(_))));
        let token = bearer_token(&SystemEntropy);
        assert!(matches!(file.write(&token), Err(TokenFileError::Directory(_))));
    }
}
