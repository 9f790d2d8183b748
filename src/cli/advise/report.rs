//! What is said of a program: the same for people and, as JSON, for programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::confirmation::{Confirmed, confirm, is_disabled};
use super::outlets::Outlets;
use crate::control::Complaint;
use crate::programs::Program;
use crate::pure::chain::{
    Content, Found, Judgement, Place, Remedy, Sdk, Served, SharedFile, Source, Surroundings,
    Verdict, Walk, judge, mend, region, served, shown, walk,
};
use crate::pure::shell::can_be_pasted;
use crate::vending::WouldGet;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub program: Subject,
    /// None when it is not known.
    pub sdk: Option<SdkReport>,
    /// What its SDK signs for; none where it finds none, or where the SDK is not known.
    pub region: Option<String>,
    /// With a known SDK alone, and so the next ones.
    pub profile: Option<ProfileReport>,
    /// Names of variables that lead an SDK somewhere.
    pub environment: Vec<&'static str>,
    pub files: Vec<FileReport>,
    pub chain: Vec<LinkReport>,
    /// Without a known SDK: what would become of each.
    pub by_sdk: BTreeMap<&'static str, &'static str>,
    pub verdict: &'static str,
    pub reason: String,
    /// What would be used, did nothing come before it.
    pub shadowed: Vec<String>,
    /// What keeps the program from working with the credentials that it has.
    pub warnings: Vec<String>,
    pub remedy: Option<RemedyReport>,
    /// What the daemon says that the program would get of our outlet.
    pub credentials: Option<WouldGet>,
    /// What keeps the daemon from serving the program.
    #[serde(skip)]
    pub complaint: Option<Complaint>,
    #[serde(skip)]
    pub judgement: Judgement,
}

#[derive(Debug, Serialize)]
pub(super) struct Subject {
    pub pid: Option<i32>,
    pub unit: Option<String>,
    pub executable: Option<PathBuf>,
    pub user: String,
    /// Whether its files are its own: a container, or a unit's sandbox.
    pub own_namespace: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct SdkReport {
    pub name: &'static str,
    #[serde(skip)]
    pub title: &'static str,
    pub evidence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ProfileReport {
    pub name: String,
    pub variable: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    pub kind: &'static str,
    pub path: Option<PathBuf>,
    /// `read`, `absent`, or why it cannot be read.
    pub state: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LinkReport {
    pub source: Source,
    pub place: Place,
    pub verdict: &'static str,
    pub detail: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RemedyReport {
    pub unset: Vec<&'static str>,
    pub set: BTreeMap<&'static str, String>,
    /// A file to write.
    pub file: Option<NewFile>,
    /// Of a unit.
    pub drop_in: Option<NewFile>,
    /// For a shell.
    pub shell: String,
    /// A file of ours that lets the program's user ask.
    pub settings: Option<NewFile>,
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct NewFile {
    pub path: PathBuf,
    pub content: String,
}

impl Report {
    pub fn of(program: &Program, named: Option<Sdk>, outlets: &Outlets) -> Self {
        let named = named.map(|sdk| (sdk, "named with --sdk".to_owned()));
        let recognised = program.sdk.as_ref().map(|told| (told.sdk, told.evidence.clone()));
        let known = named.or(recognised);
        let sdks = known.as_ref().map_or(Sdk::ALL.to_vec(), |(sdk, _)| vec![*sdk]);
        let either = sdks.into_iter().map(|sdk| (sdk, program.surroundings(sdk)));
        let either = either.collect::<Vec<_>>();
        let walks = either.iter().map(|(sdk, surroundings)| walk(*sdk, surroundings));
        let walks = walks.collect::<Vec<_>>();
        let confirmed = walks.iter().map(|walk| {
            let judgement = judge(walk, &outlets.installation);
            confirm(judgement, walk, program, outlets)
        });
        let confirmed = confirmed.collect::<Vec<_>>();
        let judgements = confirmed.iter().map(|confirmed| confirmed.judgement.clone());
        let judgements = judgements.collect::<Vec<_>>();
        let (judgement, by_sdk) = match (&known, &judgements[..]) {
            (Some(_), [judgement]) => (judgement.clone(), BTreeMap::new()),
            _ => (
                Judgement::agreed(&judgements),
                walks.iter().zip(&judgements).map(|(w, j)| (w.sdk.name(), j.name())).collect(),
            ),
        };
        let walk = walks.first().filter(|_| known.is_some());
        let surroundings = either.first().map(|(_, surroundings)| surroundings);
        let same = |confirmed: &&Confirmed| confirmed.judgement == judgement;
        let complaint = confirmed.iter().find(same).and_then(|found| found.complaint.clone());
        let gets = confirmed.first().filter(|_| judgement.is_renewed());
        let credentials = gets.and_then(|confirmed| confirmed.gets.clone());
        let by_process = walks
            .iter()
            .all(|walk| matches!(served(walk, &outlets.installation), Some(Served::Process(_))));
        let remedy = match (&judgement, &complaint) {
            (Judgement::Renewed(_), _)
            | (Judgement::Untold(_) | Judgement::NotRenewed(_), Some(_)) => None,
            // Nothing that the program does mends our own settings.
            (Judgement::Refused(_), Some(complaint)) if is_disabled(complaint) => None,
            (Judgement::Refused(_), _) if by_process && outlets.consumer.is_some() => {
                Some(settings_alone(outlets))
            }
            (Judgement::Refused(_), _) => remedy(program, &either, outlets, true),
            _ => remedy(program, &either, outlets, false),
        };
        let regions = either.iter().map(|(sdk, seen)| region(*sdk, seen, &outlets.installation));
        let regions = regions.collect::<Vec<_>>();
        let without =
            regions.iter().all(Option::is_none) && !matches!(judgement, Judgement::Nothing(_));
        let sets_region = remedy.as_ref().is_some_and(RemedyReport::sets_region);
        let sdk = known.as_ref().map(|(sdk, _)| *sdk);
        Self {
            region: regions
                .first()
                .cloned()
                .flatten()
                .filter(|_| known.is_some())
                .map(|r| r.describe()),
            warnings: (without && !sets_region).then(|| no_region(sdk)).into_iter().collect(),
            program: Subject::of(program),
            sdk: known.map(|(sdk, evidence)| SdkReport {
                name: sdk.name(),
                title: sdk.title(),
                evidence,
            }),
            profile: walk.map(|walk| ProfileReport {
                name: walk.profile.clone(),
                variable: walk.profile_variable,
            }),
            environment: program.environment.names(),
            files: surroundings.map(files).unwrap_or_default(),
            chain: walk.map(chain).unwrap_or_default(),
            by_sdk,
            verdict: judgement.name(),
            reason: judgement.reason().to_owned(),
            shadowed: walk.map(|w| w.shadowed().map(Found::describe).collect()).unwrap_or_default(),
            remedy,
            credentials,
            complaint,
            judgement,
        }
    }
}

impl Subject {
    fn of(program: &Program) -> Self {
        Self {
            pid: program.pid,
            unit: program.unit.clone(),
            executable: program.executable.clone(),
            user: program.user_name(),
            own_namespace: program.apart,
        }
    }
}

fn files(surroundings: &Surroundings) -> Vec<FileReport> {
    let file = |kind, file: &SharedFile| FileReport {
        kind,
        path: file.path.clone(),
        state: match &file.content {
            Content::Absent => "absent".to_owned(),
            Content::Directory => "is a directory".to_owned(),
            Content::Sections(_) => "read".to_owned(),
            Content::Unreadable(why) => why.clone(),
            Content::Unusable(unusable) => unusable.to_string(),
            Content::Refused(refusal) => {
                format!("line {} {}: this SDK refuses it", refusal.line, refusal.why)
            }
        },
    };
    vec![file("credentials", &surroundings.credentials), file("config", &surroundings.config)]
}

fn chain(walk: &Walk) -> Vec<LinkReport> {
    let links = walk.links.iter().map(|link| {
        let (verdict, detail) = match &link.verdict {
            Verdict::Absent => ("absent", None),
            Verdict::PassedOver(why) => ("passed-over", Some(why.clone())),
            Verdict::Used(found) => ("used", Some(found.describe())),
            // Everybody has it at the end of the chain.
            Verdict::Shadowed(found) if !found.is_meant() => ("shadowed", None),
            Verdict::Shadowed(found) => ("shadowed", Some(found.describe())),
            Verdict::Ends(why) => ("ends", Some(why.clone())),
        };
        LinkReport { source: link.source, place: link.place, verdict, detail }
    });
    links.collect()
}

/// `refused`: the daemon would serve the program no better by what it has already.
fn remedy(
    program: &Program,
    either: &[(Sdk, Surroundings)],
    outlets: &Outlets,
    refused: bool,
) -> Option<RemedyReport> {
    let mended = mend(either, &outlets.installation, &outlets.way)?;
    if refused && either.iter().all(|(sdk, before)| mended.remedy.apply(*sdk, before) == *before) {
        return None;
    }
    let Remedy { unset, set, file } = &mended.remedy;
    let drop_in = program.service().map(|unit| NewFile {
        path: PathBuf::from(format!("/etc/systemd/system/{unit}.d/rolekeeper.conf")),
        content: mended.remedy.drop_in(),
    });
    let drop_in_path = drop_in.as_ref().map(|new| new.path.to_string_lossy());
    let file_path = file.as_ref().map(|(path, _)| path.to_string_lossy());
    let values = set.iter().map(|(_, value)| value.as_str());
    let mut pasted = values.chain(file_path.as_deref()).chain(drop_in_path.as_deref());
    if let Some(value) = pasted.find(|text| !can_be_pasted(text)) {
        let note = format!(
            "there is nothing to paste: {} has characters that a terminal does not show as they are",
            shown(value)
        );
        return Some(RemedyReport { notes: vec![note], ..settings_alone(outlets) });
    }
    let left = mended.left_behind.iter().map(|path| {
        format!(
            "{} is then read no more: copy what else it sets, a region say",
            shown(&path.to_string_lossy())
        )
    });
    Some(RemedyReport {
        unset: unset.clone(),
        set: set.iter().cloned().collect(),
        file: file.clone().map(|(path, content)| NewFile { path, content }),
        drop_in,
        shell: mended.remedy.shell(),
        settings: settings(outlets),
        notes: outlets.obstacles.iter().cloned().chain(left).collect(),
    })
}

/// The program does all that it must.
fn settings_alone(outlets: &Outlets) -> RemedyReport {
    RemedyReport {
        unset: Vec::new(),
        set: BTreeMap::new(),
        file: None,
        drop_in: None,
        shell: String::new(),
        settings: settings(outlets),
        notes: outlets.obstacles.clone(),
    }
}

impl RemedyReport {
    fn sets_region(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.content.contains("\nregion = "))
    }
}

/// Of an SDK that finds no region, or of all of them.
fn no_region(sdk: Option<Sdk>) -> String {
    match sdk.map(|sdk| (sdk, sdk.habits().region)) {
        Some((Sdk::Cpp, [first, ..])) => {
            format!("{} finds no region, and goes to us-east-1: set {first}", Sdk::Cpp)
        }
        Some((sdk, [first, ..])) => {
            format!("{sdk} finds no region, without which most calls fail: set {first}")
        }
        _ => "no SDK finds a region, without which most calls fail: set AWS_REGION, and \
              AWS_DEFAULT_REGION for boto3"
            .to_owned(),
    }
}

fn settings(outlets: &Outlets) -> Option<NewFile> {
    outlets.consumer.as_ref().map(|(name, table)| NewFile {
        path: PathBuf::from(format!("/etc/rolekeeper/conf.d/{name}.toml")),
        content: table.clone(),
    })
}
