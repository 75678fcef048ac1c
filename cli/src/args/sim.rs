//! The simulator's command.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use wopr_p2p_sim::named::Named;
use wopr_p2p_sim::scenario::Recipe;

/// Run nodes on a virtual clock, over a hostile network, under attack, and check the rules at every step.
///
/// Needs no home and no network; the same seed gives the same run, byte for byte. A broken rule ends it with exit code
/// 2 and the command that runs that seed again. docs/sim.md says what is simulated.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// Run this seed alone.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Run so many seeds from 0 on, or those from one to before another: 10000, 500..600.
    #[arg(long, value_name = "COUNT|FROM..TO", default_value = "100", value_parser = seeds)]
    pub(crate) seeds: Range<u64>,
    /// How many nodes, or at least and at most how many; each seed draws.
    #[arg(long, value_name = "N|MIN..MAX", default_value = "5..20", value_parser = nodes)]
    pub(crate) nodes: (usize, usize),
    /// How long the trouble lasts, in simulated hours; ten minutes, if not given. Quiet hours follow in which everything
    /// has to arrive.
    #[arg(long, value_name = "HOURS", allow_negative_numbers = true, value_parser = hours)]
    pub(crate) hours: Option<f64>,
    /// How much goes wrong by itself, from 0 (nothing) to 10; each seed takes another level, if not given.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(crate) faults: Option<u32>,
    /// One attack, or one kind of trouble; a wrong name lists them. Each seed draws an attack or none, if not given.
    #[arg(long, value_name = "NAME", value_parser = named)]
    pub(crate) scenario: Option<Named>,
    /// Write everything that happens to this file, as JSON lines. Needs --seed.
    #[arg(long, value_name = "FILE", requires = "seed")]
    pub(crate) trace: Option<PathBuf>,
    /// Write a page that shows everything that happens to this file, for a browser. Needs --seed.
    #[arg(long, value_name = "FILE", requires = "seed")]
    pub(crate) html: Option<PathBuf>,
    /// Where a rule is broken, look for a smaller scenario that breaks it too, and print it as a Rust test.
    #[arg(long)]
    pub(crate) shrink: bool,
}

/// The trouble lasts ten minutes, where nothing else is said.
const SECONDS: u64 = 600;

impl Sim {
    /// The seeds to run.
    pub(crate) fn range(&self) -> Range<u64> {
        self.seed.map_or_else(|| self.seeds.clone(), |seed| seed..seed.saturating_add(1))
    }

    /// How a seed becomes a scenario.
    pub(crate) fn recipe(&self, seed: u64) -> Recipe {
        // At most a thousand hours: no rounding that anybody could see.
        let seconds = self.hours.map_or(SECONDS, |hours| (hours * 3600.0).round() as u64);
        let faults = self.faults.unwrap_or_else(|| u32::try_from(seed % 11).unwrap_or(0));
        let recipe = Recipe { nodes: self.nodes, seconds, faults, ..Recipe::default() };
        self.scenario.map_or(recipe.clone(), |named| named.put_into(recipe))
    }

    /// The command that runs one of the seeds again.
    pub(crate) fn replay(&self, seed: u64) -> String {
        let mut words = format!("wopr sim --seed {seed}");
        if self.nodes != (5, 20) {
            let (least, most) = self.nodes;
            words += &if least == most { format!(" --nodes {least}") } else { format!(" --nodes {least}..{most}") };
        }
        for (flag, value) in [
            ("--hours", self.hours.map(|hours| hours.to_string())),
            ("--faults", self.faults.map(|level| level.to_string())),
            ("--scenario", self.scenario.map(|named| named.name().to_owned())),
        ] {
            if let Some(value) = value {
                words += &format!(" {flag} {value}");
            }
        }
        words
    }
}

/// Two numbers with `..` between them, or one.
fn range<T: std::str::FromStr>(text: &str) -> Option<(Option<T>, T)> {
    match text.split_once("..") {
        Some((low, high)) => Some((Some(low.parse().ok()?), high.parse().ok()?)),
        None => Some((None, text.parse().ok()?)),
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wanted = "a number of seeds, or the first and the one after the last: 10000, 500..600";
    let (from, to) = range(text).ok_or(wanted)?;
    let range = from.unwrap_or(0)..to;
    if range.is_empty() { Err(format!("there is no seed in it; write {wanted}")) } else { Ok(range) }
}

/// More nodes than this in one world are too slow to be of use.
const MOST_NODES: usize = 1000;

fn nodes(text: &str) -> Result<(usize, usize), String> {
    let wanted = "a number of nodes, or the least and the most: 5, 5..20";
    let (least, most) = range(text).ok_or(wanted)?;
    let least = least.unwrap_or(most);
    match (least, most) {
        (0 | 1, _) => Err("a world has at least two nodes".to_owned()),
        _ if most > MOST_NODES => Err(format!("a world has at most {MOST_NODES} nodes")),
        _ if least > most => Err(format!("the least comes first; write {wanted}")),
        _ => Ok((least, most)),
    }
}

fn hours(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hours) if (0.01..=1000.0).contains(&hours) => Ok(hours),
        _ => Err("a number of hours from 0.01 to 1000, such as 0.5 or 24".to_owned()),
    }
}

fn named(text: &str) -> Result<Named, String> {
    Named::from_name(text).ok_or_else(|| {
        let lines: Vec<String> =
            Named::all().map(|named| format!("  {:<20} {}", named.name(), named.about())).collect();
        format!("there is no scenario of that name; there are\n{}", lines.join("\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_range() {
        assert_eq!(seeds("3"), Ok(0..3));
        assert_eq!(seeds("500..600"), Ok(500..600));
        for text in ["", "0", "x", "5..", "..5", "6..5", "5..5", "-1", "1...3"] {
            assert!(seeds(text).is_err_and(|error| error.contains("500..600")), "{text:?}");
        }
    }

    #[test]
    fn a_world_has_from_two_to_a_thousand_nodes() {
        assert_eq!(nodes("5"), Ok((5, 5)));
        assert_eq!(nodes("5..20"), Ok((5, 20)));
        for (text, hint) in [("1", "two"), ("0..3", "two"), ("1001", "1000"), ("9..3", "least"), ("many", "5..20")] {
            assert!(nodes(text).is_err_and(|error| error.contains(hint)), "{text:?}");
        }
    }

    #[test]
    fn hours_are_finite_and_not_too_many() {
        assert_eq!(hours("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "1e9", "an hour"] {
            assert!(hours(text).is_err_and(|error| error.contains("1000")), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_scenario_lists_those_there_are() {
        let error = named("nonsense").unwrap_err();
        assert!(Named::all().all(|named| error.contains(named.name())), "{error}");
    }
}
