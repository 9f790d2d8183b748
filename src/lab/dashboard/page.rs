//! The whole page, as a reader without JavaScript gets it, and the forms on it.

use maud::{DOCTYPE, Markup, html};

use super::marks::Actions;
use super::sections::Section;
use super::snapshot::Snapshot;
use super::trouble::Trouble;
use super::{EVENTS, ICON, SCRIPT, STYLE, wish};
use crate::lab::ACCOUNT;
use crate::lab::operation::Operation;
use crate::lab::roles::DEFAULT_ROLE;
use crate::pure::secret::Secret;

/// What the page says above everything else, once.
#[derive(Debug)]
pub enum Notice {
    /// An activation that was just made.
    Activation { id: String, command: Secret<String> },
    /// A wish that was not granted.
    Refused { code: String, message: String },
    /// The code was shown before.
    AlreadyShown,
}

/// What the page is about.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub endpoint_url: &'a str,
    pub region: &'a str,
}

pub fn page(
    snapshot: &Snapshot,
    place: Place<'_>,
    actions: Actions<'_>,
    notice: Option<&Notice>,
) -> Markup {
    let live = |section: Section| section.render(snapshot, actions);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "rolekeeper-lab, " (place.endpoint_url) }
                link rel="icon" href=(ICON) type="image/svg+xml";
                link rel="stylesheet" href=(STYLE);
                script src=(SCRIPT) defer {}
            }
            body data-events=(actions.to(EVENTS)) {
                header {
                    img src=(ICON) alt="" width="28" height="28";
                    h1 { "rolekeeper-lab" }
                    p.place {
                        span { (place.endpoint_url) } span { (place.region) }
                        span { "account " (ACCOUNT) }
                    }
                    p #connection { a href=(actions.to("/")) { "Reload" } " to see what is new" }
                }
                div #notice role="status" { @if let Some(notice) = notice { (said(notice)) } }
                (live(Section::Overview))
                main {
                    div {
                        section.panel { (live(Section::Nodes)) }
                        section.panel.last { (live(Section::Requests)) }
                    }
                    div {
                        section.panel { (live(Section::Faults)) (fault_form(actions)) }
                        section.panel { (live(Section::Tokens)) }
                        section.panel { (live(Section::Activations)) (activation_form(actions)) }
                    }
                }
                footer {
                    "Everything here is made up. The times are the lab's, in UTC; a full bar is a \
                     whole life."
                }
            }
        }
    }
}

fn said(notice: &Notice) -> Markup {
    match notice {
        Notice::Activation { id, command } => html! {
            div.notice.good {
                h2 { "Activation " (id) }
                p { "Paste this on the machine. The code in it is shown this once." }
                pre { code { (command.expose()) } }
            }
        },
        Notice::Refused { code, message } => html! {
            div.notice.bad { h2 { (code) } p { (message) } }
        },
        Notice::AlreadyShown => html! {
            div.notice { p {
                "The code of that activation was shown already. Create another one if it is lost."
            } }
        },
    }
}

fn fault_form(actions: Actions<'_>) -> Markup {
    html! {
        details.more {
            summary { "Add a fault" }
            form.fields method="post" action=(actions.to(wish::FAULTS)) data-quiet {
                label.wide { span { "What goes wrong" }
                    select name=(wish::TROUBLE) {
                        @for trouble in Trouble::ALL { option value=(trouble.key) { (trouble.label) } }
                    }
                }
                label.wide { span { "In which operation" }
                    select name=(wish::OPERATION) {
                        option value="" { "Every operation" }
                        @for operation in Operation::ALL {
                            option selected[operation == Operation::RequestManagedInstanceRoleToken] {
                                (operation.name())
                            }
                        }
                    }
                }
                label.wide { span { "For which node" }
                    input name=(wish::NODE) list="node-ids" placeholder="every node"
                        pattern="mi-[0-9a-f]{17}" title="mi- and 17 hexadecimal digits"
                        autocomplete="off" spellcheck="false";
                }
                label { span { "How often" }
                    input name=(wish::COUNT) type="number" min="1" max="1000000"
                        placeholder="always";
                }
                label { span { "How long" }
                    input name=(wish::LASTING) placeholder="until cleared" pattern="([0-9]+(d|h|m|s|ms))+"
                        title="such as 30s, 5m or 1h30m" autocomplete="off";
                }
                button.primary { "Add the fault" }
            }
        }
    }
}

/// Its answer is a new page, so that the code is in no script's hands.
fn activation_form(actions: Actions<'_>) -> Markup {
    html! {
        details.more {
            summary { "Create an activation" }
            form.fields method="post" action=(actions.to(wish::ACTIVATIONS)) {
                label.wide { span { "Role of the machines" }
                    input name=(wish::ROLE) value=(DEFAULT_ROLE) required maxlength="64"
                        autocomplete="off" spellcheck="false";
                }
                label { span { "Name of the machines" }
                    input name=(wish::NAME) maxlength="256" placeholder="none" autocomplete="off";
                }
                label { span { "How many" }
                    input name=(wish::LIMIT) type="number" min="1" max="1000" value="1" required;
                }
                button.primary { "Create the activation" }
            }
        }
    }
}
