//! One number beside its budget and the reference agent's.

use serde_json::json;

/// A measurement.
#[derive(Debug)]
pub(crate) struct Figure {
    name: &'static str,
    unit: Unit,
    /// The number, or why there is none.
    measured: Result<f64, String>,
    budget: Option<f64>,
    /// The reference agent's, core and worker together, at its best.
    reference: Option<f64>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Count,
    Kibibytes,
    Milliseconds,
}

impl Figure {
    pub(crate) fn new(name: &'static str, unit: Unit, measured: f64) -> Self {
        Self { name, unit, measured: Ok(measured), budget: None, reference: None }
    }

    pub(crate) fn unmeasured(name: &'static str, unit: Unit, reason: &dyn ToString) -> Self {
        Self { name, unit, measured: Err(reason.to_string()), budget: None, reference: None }
    }

    /// The most that it may be.
    pub(crate) fn budget(self, budget: f64) -> Self {
        Self { budget: Some(budget), ..self }
    }

    pub(crate) fn reference(self, reference: f64) -> Self {
        Self { reference: Some(reference), ..self }
    }

    /// Whether the budget is kept, where there is one. What was not measured keeps none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let budget = self.budget?;
        Some(self.measured.as_ref().is_ok_and(|measured| *measured <= budget))
    }

    pub(crate) fn json(&self) -> String {
        json!({
            "figure": self.name,
            "unit": self.unit.name(),
            "measured": self.measured.as_ref().ok(),
            "error": self.measured.as_ref().err(),
            "budget": self.budget,
            "reference": self.reference,
            "ok": self.is_met(),
        })
        .to_string()
    }

    fn row(&self) -> String {
        let shown =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| self.unit.show(value));
        let verdict = match (&self.measured, self.is_met()) {
            (Err(reason), _) => reason,
            (Ok(_), Some(true)) => "ok",
            (Ok(_), Some(false)) => "OVER",
            (Ok(_), None) => "",
        };
        let name = format!("{} ({})", self.name, self.unit.name());
        let measured = shown(self.measured.as_ref().ok().copied());
        row([&name, &shown(self.budget), &measured, &shown(self.reference), verdict])
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Count => "count",
            Unit::Kibibytes => "KiB",
            Unit::Milliseconds => "ms",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Unit::Bytes | Unit::Count | Unit::Kibibytes => format!("{value:.0}"),
            Unit::Milliseconds => format!("{value:.1}"),
        }
    }
}

/// All of them, for a person.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = row(["figure", "budget", "measured", "reference", ""]);
    head + &figures.iter().map(Figure::row).collect::<String>()
}

fn row([name, budget, measured, reference, verdict]: [&str; 5]) -> String {
    let row = format!("{name:<32}{budget:>12}{measured:>12}{reference:>12}  {verdict}");
    format!("{}\n", row.trim_end())
}
