//! What is not as it should be with a credentials file that was written all the same.

use std::path::PathBuf;

use super::{Published, Target};
use crate::pure::advice::{Advice, Exit};
use crate::pure::ini::{Overridden, ProfileName};

/// Something that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("credentials file {} could not keep {names} when it was replaced", path.display())]
    Lost { path: PathBuf, names: String },
    #[error(
        "most programs pass over the keys in {} for {} in line {} (profile {profile})",
        path.display(), overridden.key, overridden.line
    )]
    Overridden { path: PathBuf, profile: ProfileName, overridden: Overridden },
}

impl Warning {
    /// What stands in the way of the keys that programs find in the target's profile.
    pub fn of_published(target: &Target, published: &Published) -> Option<Self> {
        let (path, profile) = (target.path.clone(), target.profile.clone());
        published.overridden.map(|overridden| Self::Overridden { path, profile, overridden })
    }
}

impl Advice for Warning {
    fn remedy(&self) -> String {
        match self {
            Self::Lost { .. } => {
                "set it again; the service keeps it on a file system that has such, as the file's \
                 owner or with CAP_FOWNER"
                    .into()
            }
            Self::Overridden { overridden, .. } => format!(
                "remove line {} of it, or give the target a `profile` of its own",
                overridden.line
            ),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Lost { .. } => Exit::Refused,
            Self::Overridden { .. } => Exit::BadData,
        }
    }
}
