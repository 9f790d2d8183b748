//! aws-sdk-cpp, `ConfigFileProfileFSM` of `AWSConfigFileProfileConfigLoader.cpp`. It gives up at a line
//! that it does not understand, and what stands behind that is lost.

use super::{BLANKS, Dialect, before_comment, is_comment, is_identifier};

/// `ASSUME_EMPTY_LEN`: a line of fewer bytes is none.
const SHORTEST: usize = 3;

#[derive(Default)]
pub(super) struct Cpp {
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Profile,
    Unknown,
}

impl Dialect for Cpp {
    fn takes(&mut self, line: &str) -> bool {
        let line = if line.starts_with(is_comment) { "" } else { before_comment(line) };
        if line.len() < SHORTEST || line.trim_matches(BLANKS).is_empty() {
            true
        } else if line.contains('[') && line.contains(']') {
            self.state = if is_section(line) { State::Profile } else { State::Unknown };
            true
        } else {
            match self.state {
                State::Start => false,
                State::Profile => line.contains('='),
                State::Unknown => true,
            }
        }
    }
}

fn is_section(line: &str) -> bool {
    let Some(rest) = line.trim_start_matches(BLANKS).strip_prefix('[') else { return false };
    let name = rest.trim_start_matches(BLANKS);
    let rest = name.trim_start_matches(is_identifier);
    let behind = rest.trim_start_matches(BLANKS).strip_prefix(']');
    rest.len() < name.len()
        && behind.is_some_and(|behind| {
            let behind = behind.trim_start_matches(BLANKS);
            behind.is_empty() || behind.starts_with(is_comment)
        })
}
