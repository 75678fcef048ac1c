//! A deterministic simulator of wopr nodes: real cores in one thread on a virtual clock, over a hostile network, on disks
//! that tear, with clocks that jump and an attacker who holds valid keys. The same seed gives the same run, byte for byte.
//!
//! A [`Scenario`] says what happens; a [`World`] lets it happen, step by step, and checks the [rules](oracle::Rule) at
//! every step against books of its own. [`run`] does both:
//!
//! ```
//! use wopr_p2p_sim::scenario::{Recipe, Scenario};
//!
//! let recipe = Recipe { nodes: (3, 3), seconds: 60, ..Recipe::default() };
//! let outcome = wopr_p2p_sim::run(&Scenario::from_seed(1, &recipe));
//! assert_eq!(outcome.violations, []);
//! ```

pub mod adversary;
mod clock;
mod disk;
pub mod faults;
mod host;
mod ledger;
pub mod named;
mod net;
pub mod oracle;
mod original;
pub mod report;
mod rng;
pub mod scenario;
pub mod shrink;
mod state;
pub mod stats;
mod table;
pub mod trace;
pub mod trouble;
mod words;
mod world;

pub use self::net::Party;
pub use self::scenario::Scenario;
pub use self::world::World;

use self::oracle::Violation;
use self::stats::Stats;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The rules that were broken; none in a good run.
    pub violations: Vec<Violation>,
    /// Figures.
    pub stats: Stats,
    /// The hash over everything that happened.
    pub hash: u128,
}

/// Runs a scenario to its end.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario, false);
    world.run();
    Outcome { violations: world.violations().to_vec(), stats: world.stats().clone(), hash: world.trace().hash() }
}
