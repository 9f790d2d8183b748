//! stub
use super::{Line, Record};
use crate::lab::scenario::Scenario;
pub struct About;
impl About { pub fn the_tour() -> Self { Self } pub fn of(_: &Scenario) -> Self { Self } }
pub fn page(_: &About, record: &Record, _: &[Line]) -> String { format!("{record:#?}") }
