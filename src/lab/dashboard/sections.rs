//! The parts of the page that change. Each is rendered in one way for everybody: into the page, and
//! again for whoever watches.

use maud::{Markup, html};

use super::marks::{Actions, Tone, ago, badge, epoch_millis, life, spell, time_of_day, verdict};
use super::snapshot::{
    ActivationRow, FaultRow, NodeRow, NodeState, RequestRow, Shown, Snapshot, Tally, Time, TokenRow,
};
use super::wish;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Overview,
    Nodes,
    Requests,
    Faults,
    Tokens,
    Activations,
}

impl Section {
    pub const ALL: [Section; 6] = [
        Section::Overview,
        Section::Nodes,
        Section::Requests,
        Section::Faults,
        Section::Tokens,
        Section::Activations,
    ];

    /// The element's id, and the name of the event that brings a new one.
    pub fn id(self) -> &'static str {
        match self {
            Section::Overview => "overview",
            Section::Nodes => "nodes",
            Section::Requests => "requests",
            Section::Faults => "faults",
            Section::Tokens => "tokens",
            Section::Activations => "activations",
        }
    }

    pub fn render(self, snapshot: &Snapshot, actions: Actions<'_>) -> Markup {
        let inside = match self {
            Section::Overview => return overview(self.id(), snapshot),
            Section::Nodes => nodes(&snapshot.nodes, &snapshot.clock, actions),
            Section::Requests => requests(&snapshot.requests, &snapshot.pulse, snapshot.tally),
            Section::Faults => faults(&snapshot.faults, actions),
            Section::Tokens => tokens(&snapshot.tokens),
            Section::Activations => activations(&snapshot.activations),
        };
        html! { div #(self.id()) .live { (inside) } }
    }
}

/// The lab's clock is here too: the script counts by it.
fn overview(id: &str, snapshot: &Snapshot) -> Markup {
    let clock = &snapshot.clock;
    let tally = snapshot.tally;
    html! {
        dl #(id) .live.figures data-now=(epoch_millis(clock.at)) data-rate=(clock.rate) {
            (figure("Nodes", snapshot.nodes.total, html! {
                (in_trouble(&snapshot.nodes))
            }))
            (figure("Role tokens alive", snapshot.tokens.total, html! {
                @match snapshot.tokens.rows.last().map(|row| row.life.left) {
                    Some(left) if snapshot.tokens.total == snapshot.tokens.rows.len() => {
                        "the next ends in " (spell(left))
                    }
                    _ => {}
                }
            }))
            (figure("Requests", tally.total(), html! {
                @if tally.total() > 0 {
                    (tally.refused) " refused, " (tally.disturbed) " disturbed"
                }
            }))
            (figure("Faults that stand", snapshot.faults.total, html! {
                @if snapshot.faults.total == 0 { "all is well" } @else { "requests will be disturbed" }
            }))
            (figure_of("Lab time, UTC", html! { span data-clock { (time_of_day(clock.at)) } }, pace(clock)))
        }
    }
}

fn figure(name: &str, number: usize, note: Markup) -> Markup {
    figure_of(name, html! { (grouped(number)) }, note)
}

fn figure_of(name: &str, value: Markup, note: Markup) -> Markup {
    html! { div { dt { (name) } dd { strong { (value) } span.muted { (note) } } } }
}

fn in_trouble(nodes: &Shown<NodeRow>) -> Markup {
    let failing =
        nodes.rows.iter().filter(|row| matches!(row.state, NodeState::Failing(_))).count();
    html! {
        @if nodes.total == 0 { "none yet" }
        @else if failing == 0 { "none is failing" }
        @else { (failing) " failing" }
    }
}

fn pace(clock: &Time) -> Markup {
    let seconds = clock.ahead.whole_seconds();
    html! {
        @if clock.rate != 1 { (clock.rate) " times as fast" }
        @else if seconds == 0 { "as this machine's" }
        @else if seconds > 0 { (spell(clock.ahead.unsigned_abs())) " ahead" }
        @else { (spell(clock.ahead.unsigned_abs())) " behind" }
    }
}

fn nodes(nodes: &Shown<NodeRow>, clock: &Time, actions: Actions<'_>) -> Markup {
    html! {
        (heading("Nodes", nodes))
        @if nodes.rows.is_empty() {
            p.empty { "No machine has registered. Create an activation and paste its command." }
        } @else {
            table.rows.nodes {
                thead { tr {
                    th { "State" } th { "Node" } th { "Role" } th { "Last ping" } th { "Role token" }
                    th { span.unseen { "Actions" } }
                } }
                tbody { @for row in &nodes.rows { (node(row, clock, actions)) } }
            }
            (rest(nodes))
        }
        datalist id="node-ids" { @for row in &nodes.rows { option value=(row.id.as_str()) {} } }
    }
}

fn node(row: &NodeRow, clock: &Time, actions: Actions<'_>) -> Markup {
    let tone = Tone::of(&row.state);
    let id = row.id.as_str();
    html! {
        tr id={ "node-" (id) } class=(tone.class()) {
            td.state {
                @match &row.state {
                    NodeState::Failing(why) => { (badge(tone, "failing")) div.why { (why) } }
                    NodeState::Faulted(what) => { (badge(tone, "fault set")) div.why { (what) } }
                    NodeState::Bare => { (badge(tone, "no token")) }
                    NodeState::Quiet => { (badge(tone, "no token lately")) }
                    NodeState::Fresh => { (badge(tone, "fresh")) }
                }
            }
            td {
                div.name {
                    (row.name.as_deref().unwrap_or("unnamed"))
                    @if row.shares_name { span.muted { " …" (end(id)) } }
                }
                div.id { (id) }
            }
            td {
                div { (row.role) }
                div.muted { (row.platform.as_deref().unwrap_or_default()) }
            }
            td.ping {
                @match row.pinged_at {
                    Some(at) => {
                        div { @if row.online { "online" } @else { "connection lost" } }
                        div.muted { (ago(at, clock.at)) }
                    }
                    None => { div.muted { "never" } }
                }
            }
            td.token { (life(row.life.as_ref(), "none")) }
            td.actions { (node_actions(row, actions)) }
        }
    }
}

/// One form; the button says which wish. What cannot be undone takes a second click.
fn node_actions(row: &NodeRow, actions: Actions<'_>) -> Markup {
    let button = |wish: &str, label: &str, class: &str| {
        html! { button name=(wish::DO) value=(wish) class=(class) { (label) } }
    };
    html! {
        form method="post" action=(actions.to(wish::NODES)) data-quiet {
            input type="hidden" name=(wish::NODE) value=(row.id.as_str());
            @if row.aimed_at {
                (button(wish::MEND, "Mend", ""))
            } @else {
                (button(wish::BREAK, "Break", ""))
            }
            details.menu {
                summary { span.unseen { "More for " (row.id.as_str()) } "⋯" }
                div {
                    (button(wish::THROTTLE, "Throttle", ""))
                    (button(wish::SLOW_DOWN, "Slow down by 2 s", ""))
                    (button(wish::RESET_CONNECTIONS, "Reset connections", ""))
                    (button(wish::NEW_KEY, "Ask for a new key", ""))
                    (button(wish::DEREGISTER, "Deregister", "danger"))
                }
            }
        }
    }
}

fn requests(requests: &Shown<RequestRow>, pulse: &[Tally], tally: Tally) -> Markup {
    html! {
        (heading("Requests", requests))
        figure.pulse {
            (picture(pulse))
            figcaption {
                span { "the last " (pulse.len()) " s" }
                (legend(Tone::Good, tally.done, "done"))
                (legend(Tone::Bad, tally.refused, "refused"))
                (legend(Tone::Doubtful, tally.disturbed, "disturbed"))
            }
        }
        @if requests.rows.is_empty() {
            p.empty { "Nothing was asked yet." }
        } @else {
            table.rows.requests {
                thead { tr { th { "UTC" } th { "Operation" } th { "Node" } th { "Verdict" } } }
                tbody { @for row in &requests.rows { (request(row)) } }
            }
            (rest(requests))
        }
    }
}

fn request(row: &RequestRow) -> Markup {
    html! {
        tr id={ "request-" (row.at.unix_timestamp_nanos()) } {
            td.time { (time_of_day(row.at)) }
            td.operation { (row.operation.map_or("not an operation", |operation| operation.name())) }
            td.id { (row.node.as_ref().map_or("–", |node| node.as_str())) }
            td { (verdict(&row.outcome)) }
        }
    }
}

/// Requests by the second: what was done at the bottom, what went wrong on top of it.
fn picture(pulse: &[Tally]) -> Markup {
    let highest = pulse.iter().map(|second| second.total()).max().unwrap_or(0).max(4);
    let width = pulse.len();
    html! {
        svg viewBox={ "0 0 " (width) " " (highest) } preserveAspectRatio="none" role="img"
            aria-label={ "Requests in each of the last " (width) " seconds, at most " (highest) } {
            @for (x, second) in pulse.iter().enumerate() {
                @let mut top = highest;
                @for (count, tone) in [
                    (second.done, Tone::Good),
                    (second.refused, Tone::Bad),
                    (second.disturbed, Tone::Doubtful),
                ] {
                    @if count > 0 {
                        rect class=(tone.class()) x=(x) y={ ({ top -= count; top }) }
                            width="0.8" height=(count) {}
                    }
                }
            }
        }
    }
}

fn legend(tone: Tone, count: usize, word: &str) -> Markup {
    badge(tone, &format!("{} {word}", grouped(count)))
}

fn faults(faults: &Shown<FaultRow>, actions: Actions<'_>) -> Markup {
    html! {
        (heading("Faults", faults))
        @if faults.rows.is_empty() {
            p.empty { "None stands: every request is answered as AWS would." }
        } @else {
            ul.cards { @for row in &faults.rows { (fault(row, actions)) } }
            (rest(faults))
            @if faults.total > 1 {
                form method="post" action=(actions.to(wish::FAULTS_CLEARED)) data-quiet {
                    button { "Clear all " (faults.total) }
                }
            }
        }
    }
}

fn fault(row: &FaultRow, actions: Actions<'_>) -> Markup {
    let whole_percent = (row.probability * 100.0).round();
    html! {
        li id={ "fault-" (row.id) } {
            div.what {
                (badge(Tone::Doubtful, &row.effect))
                div {
                    (row.operation.map_or("every operation", |operation| operation.name()))
                }
                div.id { (row.node.as_ref().map_or("every node", |node| node.as_str())) }
                div.muted {
                    (row.hits)
                    @if let Some(count) = row.count { " of " (count) }
                    @if row.hits == 1 && row.count.is_none() { " hit" } @else { " hits" }
                    @if row.probability < 1.0 { ", " (whole_percent) " % of requests" }
                    @if let Some(span) = row.begins_in { ", begins in " (spell(span)) }
                    @if let Some(left) = row.left { ", " (spell(left)) " left" }
                }
            }
            form method="post" action=(actions.to(wish::FAULTS_CLEARED)) data-quiet {
                input type="hidden" name=(wish::FAULT) value=(row.id);
                button { "Clear" span.unseen { " fault " (row.id) } }
            }
        }
    }
}

fn tokens(tokens: &Shown<TokenRow>) -> Markup {
    html! {
        (heading("Role tokens alive", tokens))
        @if tokens.rows.is_empty() {
            p.empty { "No credentials are alive." }
        } @else {
            ul.cards { @for row in &tokens.rows { li id={ "token-" (row.access_key_id) } {
                div.what {
                    div title=(row.access_key_id) {
                        (row.role) span.muted { " .." (end(&row.access_key_id)) }
                    }
                    div.id { (row.holder) }
                }
                (life(Some(&row.life), "ended"))
            } } }
            (rest(tokens))
        }
    }
}

fn activations(activations: &Shown<ActivationRow>) -> Markup {
    html! {
        (heading("Activations", activations))
        @if activations.rows.is_empty() {
            p.empty { "None yet: nobody can register." }
        } @else {
            ul.cards { @for row in &activations.rows { (activation(row)) } }
            (rest(activations))
        }
    }
}

fn activation(row: &ActivationRow) -> Markup {
    let state = if row.life.is_none() {
        badge(Tone::Bad, "expired")
    } else if row.registrations >= row.limit {
        badge(Tone::Absent, "used up")
    } else {
        badge(Tone::Good, "open")
    };
    html! {
        li id={ "activation-" (row.id) } {
            div.what {
                (state)
                span.muted { ", " (row.registrations) " of " (row.limit) " registered" }
                div { @if let Some(name) = &row.name { (name) ", " } (row.role) }
                div.id title=(row.id) { (row.id) }
            }
            // What is used up admits nobody, however long it would live.
            @if row.registrations < row.limit { (life(row.life.as_ref(), "expired")) }
        }
    }
}

/// The four characters by which a person tells ids apart; of an access key id `rolekeeper status` shows
/// the same.
fn end(id: &str) -> &str {
    id.get(id.len().saturating_sub(4)..).unwrap_or_default()
}

fn heading<T>(name: &str, shown: &Shown<T>) -> Markup {
    html! { h2 { (name) " " span.count { (grouped(shown.total)) } } }
}

fn rest<T>(shown: &Shown<T>) -> Markup {
    let rest = shown.total.saturating_sub(shown.rows.len());
    html! { @if rest > 0 { p.rest { "and " (grouped(rest)) " more" } } }
}

/// `100 000`
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    // Digits are ASCII, so every chunk of them is text.
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join("\u{202f}")
}
