//! The verdict: is the machine now the machine then?
//!
//! The rules are the reference agent's, with three differences. What was there neither then nor now
//! says nothing and is left out of the count. What could not be read now never agrees. An address
//! that is missing on both sides is not an equal address.

use std::fmt;

use super::{Attribute, HardwareHash, Observation, Reading, SimilarityThreshold};

/// May the registered fingerprint be used on this machine?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Similar,
    Different,
    /// The check is off: it may be used, whatever was seen.
    Disabled,
}

/// The rule that decided, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The threshold switches the check off.
    CheckDisabled,
    /// There is no saved value to compare with.
    NothingSaved,
    /// No attribute has a value now.
    NothingRead,
    /// The machine-id is not the saved one, or cannot be read.
    MachineId,
    /// The machine kept its IP address, and that is enough.
    SameAddress,
    /// The share of attributes that agree, against the threshold.
    Share,
}

/// How one attribute then compares with now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The same value: counts for the machine.
    Same,
    /// Another value: counts against it, as the next three do.
    Changed,
    /// It was saved, and this machine has none.
    Gone,
    /// It was not saved, and this machine has one.
    Appeared,
    /// It was saved, and cannot be read now.
    Unreadable(String),
    /// Nothing saved and nothing read: left out of the count.
    Incomparable,
}

/// What one attribute said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    pub attribute: Attribute,
    pub agreement: Agreement,
}

/// The verdict with its reasons. `Display` gives them on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Similarity {
    pub verdict: Verdict,
    pub rule: Rule,
    /// Percent of the compared attributes that agree, rounded down.
    pub score: u8,
    pub threshold: SimilarityThreshold,
    /// All nine, in the order of their names.
    pub contributions: Vec<Contribution>,
}

/// Judges the machine as it was observed now by what was saved when it registered.
pub fn compare(
    saved: &HardwareHash,
    now: &Observation,
    threshold: SimilarityThreshold,
) -> Similarity {
    let contributions = now
        .iter()
        .map(|(attribute, reading)| Contribution {
            attribute,
            agreement: agreement(saved.get(attribute), reading),
        })
        .collect::<Vec<_>>();
    let score = percent(agreeing(&contributions), compared(&contributions));
    let (verdict, rule) = judge(saved, now, threshold, score);
    Similarity { verdict, rule, score, threshold, contributions }
}

impl Similarity {
    /// The registered fingerprint may be used.
    pub fn is_accepted(&self) -> bool {
        self.verdict != Verdict::Different
    }

    /// How many attributes agree.
    pub fn agreeing(&self) -> usize {
        agreeing(&self.contributions)
    }

    /// How many attributes have a value on at least one side.
    pub fn compared(&self) -> usize {
        compared(&self.contributions)
    }

    /// What is another value now, or is on one side only.
    pub fn changed(&self) -> Vec<Attribute> {
        self.those(|agreement| {
            matches!(agreement, Agreement::Changed | Agreement::Gone | Agreement::Appeared)
        })
    }

    /// What was saved and cannot be read now.
    pub fn unreadable(&self) -> Vec<Attribute> {
        self.those(|agreement| matches!(agreement, Agreement::Unreadable(_)))
    }

    /// The machine was judged another one, and would not have been if what cannot be read now were
    /// what it was: that it is hidden is no sign of a copy.
    pub fn hinges_on_unreadable(&self) -> bool {
        let SimilarityThreshold::Percent(needed) = self.threshold else { return false };
        let unreadable = self.unreadable();
        let best = percent(self.agreeing() + unreadable.len(), self.compared());
        let id_may_be_the_same = match self.contributions[Attribute::MachineId as usize].agreement {
            Agreement::Same | Agreement::Unreadable(_) => true,
            Agreement::Changed
            | Agreement::Gone
            | Agreement::Appeared
            | Agreement::Incomparable => false,
        };
        let address_may_be_the_same = unreadable.contains(&Attribute::IpAddress);
        !self.is_accepted()
            && !unreadable.is_empty()
            && id_may_be_the_same
            && (best >= needed || address_may_be_the_same)
    }

    /// What to do about a machine that was judged another one, after a look at what differs. It is said
    /// on the registered machine and on a copy of its disk alike, so it names what each is to do.
    pub fn remedy(&self) -> &'static str {
        if self.hinges_on_unreadable() {
            "let the service read its hardware again: something hides it, such as InaccessiblePaths= or \
             ProcSubset= in a drop-in (systemctl cat rolekeeper), a container without /sys, an AppArmor \
             or SELinux profile"
        } else {
            "rolekeeper fingerprint accept, on the machine that was registered alone and if each \
             change was made on purpose; a copy of it needs an activation of its own"
        }
    }

    /// The same for whoever has not looked yet.
    pub fn first_remedy(&self) -> &'static str {
        if self.hinges_on_unreadable() {
            self.remedy()
        } else {
            "rolekeeper fingerprint diff, which shows what changed; on the registered machine, whose \
             parts somebody replaced: rolekeeper fingerprint accept; on a copy of it, never: there, with \
             an activation of its own, systemctl stop rolekeeper; rolekeeper register --force --region \
             REGION --activation-id ID --activation-code-file FILE; systemctl start rolekeeper"
        }
    }

    fn those(&self, wanted: impl Fn(&Agreement) -> bool) -> Vec<Attribute> {
        self.contributions
            .iter()
            .filter(|contribution| wanted(&contribution.agreement))
            .map(|contribution| contribution.attribute)
            .collect()
    }
}

impl Verdict {
    /// The word in every report.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Similar => "similar",
            Verdict::Different => "different",
            Verdict::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// As `changed`, or `not readable: permission denied`.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Agreement::Same => f.pad("same"),
            Agreement::Changed => f.pad("changed"),
            Agreement::Gone => f.pad("gone"),
            Agreement::Appeared => f.pad("appeared"),
            Agreement::Unreadable(reason) => write!(f, "not readable: {reason}"),
            Agreement::Incomparable => f.pad("not compared"),
        }
    }
}

/// As `different: 3 of 9 attributes agree (33 %), 40 % needed; changed: bios-hash, disk-info`.
impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (agreeing, compared, score) = (self.agreeing(), self.compared(), self.score);
        let share = format!("{agreeing} of {compared} attributes agree ({score} %)");
        write!(f, "{}: ", self.verdict)?;
        match self.rule {
            Rule::CheckDisabled => write!(f, "the check is off; {share}")?,
            Rule::NothingSaved => f.write_str("no hardware was saved to compare with")?,
            Rule::NothingRead => f.write_str("no hardware could be read")?,
            Rule::MachineId => write!(f, "{}; {share}", self.machine_id())?,
            Rule::SameAddress => write!(f, "the IP address is the same; {share}")?,
            Rule::Share => write!(f, "{share}, {} needed", self.threshold)?,
        }
        list(f, "changed", &self.changed())?;
        list(f, "not readable", &self.unreadable())
    }
}

impl Similarity {
    fn machine_id(&self) -> &'static str {
        match self.contributions[Attribute::MachineId as usize].agreement {
            Agreement::Gone => "the machine-id is gone",
            Agreement::Unreadable(_) | Agreement::Incomparable => "the machine-id is not readable",
            _ => "another machine-id",
        }
    }
}

fn judge(
    saved: &HardwareHash,
    now: &Observation,
    threshold: SimilarityThreshold,
    score: u8,
) -> (Verdict, Rule) {
    let SimilarityThreshold::Percent(needed) = threshold else {
        return (Verdict::Disabled, Rule::CheckDisabled);
    };
    let machine_id = now.get(Attribute::MachineId);
    let address = now.get(Attribute::IpAddress).hash();
    if saved.is_empty() {
        (Verdict::Different, Rule::NothingSaved)
    } else if now.iter().all(|(_, reading)| reading.hash().is_none()) {
        (Verdict::Different, Rule::NothingRead)
    } else if matches!(machine_id, Reading::Unknown(_))
        || machine_id.hash() != saved.get(Attribute::MachineId)
    {
        (Verdict::Different, Rule::MachineId)
    } else if address.is_some() && address == saved.get(Attribute::IpAddress) {
        (Verdict::Similar, Rule::SameAddress)
    } else if score >= needed {
        (Verdict::Similar, Rule::Share)
    } else {
        (Verdict::Different, Rule::Share)
    }
}

fn agreement(saved: Option<&str>, now: &Reading) -> Agreement {
    match (saved, now) {
        (Some(then), Reading::Value { hash, .. }) if then == hash => Agreement::Same,
        (Some(_), Reading::Value { .. }) => Agreement::Changed,
        (Some(_), Reading::Absent) => Agreement::Gone,
        (Some(_), Reading::Unknown(reason)) => Agreement::Unreadable(reason.clone()),
        (None, Reading::Value { .. }) => Agreement::Appeared,
        (None, Reading::Absent | Reading::Unknown(_)) => Agreement::Incomparable,
    }
}

fn agreeing(contributions: &[Contribution]) -> usize {
    contributions.iter().filter(|it| it.agreement == Agreement::Same).count()
}

fn compared(contributions: &[Contribution]) -> usize {
    contributions.iter().filter(|it| it.agreement != Agreement::Incomparable).count()
}

/// Rounded down, which loses nothing against a threshold in whole percent: `part/whole` reaches it
/// exactly when its whole percent does.
fn percent(part: usize, whole: usize) -> u8 {
    (part * 100).checked_div(whole).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
}

fn list(f: &mut fmt::Formatter<'_>, label: &str, attributes: &[Attribute]) -> fmt::Result {
    for (position, attribute) in attributes.iter().enumerate() {
        if position == 0 {
            write!(f, "; {label}: {attribute}")?;
        } else {
            write!(f, ", {attribute}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
