//! Years of refreshes, faults and clock steps in virtual time: the real decisions in a world that
//! is drawn from a seed, with an onlooker who keeps an account of its own.

mod chance;
mod driver;
mod watch;
mod weather;
mod world;

use chance::Chance;
use driver::Driver;
use watch::Totals;
use weather::Weather;
use world::World;

/// Lives through the year of this seed.
fn live(seed: u64, draw: impl FnOnce(&mut Chance) -> Weather) -> Totals {
    let mut chance = Chance::new(seed);
    let weather = draw(&mut chance);
    match Driver::new(World::new(weather, chance)).live() {
        Ok(watch) => watch.totals,
        Err(broken) => panic!("seed {seed}, {broken}"),
    }
}

#[test]
fn in_a_calm_year_requests_come_every_27_to_30_minutes_and_nothing_else_happens() {
    let totals = live(0, |_| Weather::calm());
    assert!((365 * 48..=365 * 48 * 10 / 9).contains(&totals.requests), "{totals:?}");
    assert_eq!(totals.requests, totals.tokens);
    assert_eq!((totals.failures, totals.withdrawals, totals.wishes), (0, 0, 0));
}

fn a_stormy_year_keeps_the_rules(seed: u64) {
    let totals = live(seed, Weather::stormy);
    assert!((5_000..100_000).contains(&totals.requests), "{totals:?}");
    assert!(totals.tokens > totals.requests / 5, "{totals:?}");
    let Totals { denials, doubts, failures, late_deliveries, strangers, wishes, .. } = totals;
    let seen = [denials, doubts, failures, late_deliveries, strangers, wishes, totals.withdrawals];
    assert!(seen.iter().all(|count| *count > 0), "{totals:?}");
}

#[test]
fn a_first_stormy_year_keeps_the_rules() {
    a_stormy_year_keeps_the_rules(1);
}

#[test]
fn a_second_stormy_year_keeps_the_rules() {
    a_stormy_year_keeps_the_rules(2);
}

#[test]
fn a_third_stormy_year_keeps_the_rules() {
    a_stormy_year_keeps_the_rules(3);
}
