//! The daily life: a file appears, is used, and is renewed in time.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::host::accounts;
use crate::lab::ACCOUNT;
use crate::lab::rehearse::program::{Caller, use_credentials};
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::stage::{Identity, Machine, Stage, now};
use crate::lab::rehearse::{Seen, Unmet};
use crate::shelf::{Credentials, Moment};
use crate::targets::published;

/// How many renewals are waited for.
const RENEWALS: usize = 2;

/// The file is there: path, owner, mode, profile, expiry.
pub async fn written(
    stage: &Stage,
    machine: &Machine,
    daemon: &mut Running,
) -> Result<Seen, Unmet> {
    let credentials = daemon.credentials(None).await?;
    let target = machine.target();
    let file = fs::symlink_metadata(&target.path)?;
    let (mode, owner) = (file.mode() & 0o7777, file.uid());
    Unmet::unless(mode == target.access.mode, || format!("mode {mode:04o}"))?;
    Unmet::unless(owner == accounts::own_uid().as_raw(), || format!("owner {owner}"))?;
    in_file(machine, &credentials)?;
    let life = stage.lab.with_service(|service| service.token_lifetime.as_secs());
    Ok(Seen::that(format!(
        "{}: owner {}, group {}, mode {mode:04o}, profile [{}], expires {} ({life} s)",
        target.path.display(),
        accounts::user_name(owner.into()),
        accounts::group_name(file.gid().into()),
        target.profile,
        credentials.expires_at,
    )))
}

/// Another program calls the service with the credentials of the file.
pub async fn used(
    stage: &Stage,
    machine: &Machine,
    identity: &Identity,
) -> Result<Seen<Caller>, Unmet> {
    let caller = use_credentials(stage, machine).await?;
    let role = format!("arn:aws:sts::{ACCOUNT}:assumed-role/");
    let ours = caller.arn.starts_with(&role)
        && caller.arn.ends_with(&format!("/{}", identity.instance_id));
    Unmet::unless(ours, || caller.arn.clone())?;
    Ok(Seen::that(caller.arn.clone()).with(caller))
}

/// The file is rewritten before its credentials end, and a new program uses what is new in it.
pub async fn renewed(
    stage: &Stage,
    machine: &Machine,
    daemon: &mut Running,
    first: Caller,
) -> Result<Seen, Unmet> {
    let (mut caller, mut old) = (first, daemon.credentials(None).await?);
    let mut suffixes = vec![caller.access_key_id_suffix.clone()];
    let mut pauses = Vec::new();
    for _ in 0..RENEWALS {
        let new = daemon.credentials(Some(&caller.access_key_id_suffix)).await?;
        let (seen_at, ends) = (Moment(now()), old.expires_at);
        Unmet::unless(seen_at < ends, || format!("renewed at {seen_at}, when {ends} was over"))?;
        in_file(machine, &new)?;
        let next = use_credentials(stage, machine).await?;
        Unmet::unless(next.arn == caller.arn, || next.arn.clone())?;
        let suffix = next.access_key_id_suffix.clone();
        Unmet::unless(!suffixes.contains(&suffix), || format!("...{suffix} for a second time"))?;
        suffixes.push(suffix);
        pauses.push(format!("{:.1} s", (new.issued_at.0 - old.issued_at.0).as_seconds_f64()));
        (caller, old) = (next, new);
    }
    Ok(Seen::that(format!(
        "access keys ...{}, after {}; each accepted by the service",
        suffixes.join(", ..."),
        pauses.join(" and "),
    )))
}

/// The file holds these very credentials.
pub fn in_file(machine: &Machine, credentials: &Credentials) -> Result<(), Unmet> {
    let target = machine.target();
    let published = published(&target)?
        .ok_or_else(|| Unmet(format!("no profile [{}] in the file", target.profile)))?;
    let same = published.access_key_id.expose().ends_with(&credentials.access_key_id_suffix)
        && published.expires_at.map(Moment).map(|at| at.to_string())
            == Some(credentials.expires_at.to_string());
    Unmet::unless(same, || "the file holds other credentials than the daemon".to_owned())
}

/// No credentials of ours are in the file, or there is none.
pub fn not_in_file(machine: &Machine) -> Result<(), Unmet> {
    let withdrawn = published(&machine.target())?.is_none();
    Unmet::unless(withdrawn, || "the file still holds credentials".to_owned())
}
