//! The scenarios that come with the program.

/// Each by its name, as it stands in `src/lab/scenarios/`.
pub const SHIPPED: [(&str, &str); 11] = [
    (
        "activation-leaked-and-revoked",
        include_str!("../scenarios/activation-leaked-and-revoked.toml"),
    ),
    ("clock-without-rtc", include_str!("../scenarios/clock-without-rtc.toml")),
    ("clone", include_str!("../scenarios/clone.toml")),
    ("deregistered-by-mistake", include_str!("../scenarios/deregistered-by-mistake.toml")),
    ("dhcp-change", include_str!("../scenarios/dhcp-change.toml")),
    ("docker-bridge", include_str!("../scenarios/docker-bridge.toml")),
    ("os-upgrade", include_str!("../scenarios/os-upgrade.toml")),
    ("outage-of-an-hour", include_str!("../scenarios/outage-of-an-hour.toml")),
    ("paused-machine", include_str!("../scenarios/paused-machine.toml")),
    ("rotation-interrupted", include_str!("../scenarios/rotation-interrupted.toml")),
    ("throttled-region", include_str!("../scenarios/throttled-region.toml")),
];

/// The text of the one of that name.
pub fn text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
