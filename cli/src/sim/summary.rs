//! What came of the seeds: the figures of all of them together, and the rules that were broken.

use std::time::Duration;

use wopr_p2p_sim::Outcome;
use wopr_p2p_sim::stats::Stats;
use wopr_p2p_sim::trace::Name;

use crate::output::{BAD, Cell, DIM, Fields, GOOD, Json, Object, Table, View};

/// More broken rules than this are counted, not shown.
const SHOWN: usize = 20;

/// The figures of all seeds.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) seeds: u64,
    pub(super) stats: Stats,
    /// Time that the worlds computed, on all cores together.
    pub(super) cpu: Duration,
    /// Time that passed for the one who waited.
    pub(super) elapsed: Duration,
    /// The seeds that broke a rule, with the first rules that each broke.
    pub(super) broken: Vec<Broken>,
    /// How many rules were broken in all.
    pub(super) violations: u64,
    /// The hash of the run, if it was one.
    pub(super) hash: Option<u128>,
    /// A small scenario that breaks the first of the rules, as a test.
    pub(super) test: Option<String>,
}

/// A broken rule.
pub(super) struct Broken {
    pub(super) seed: u64,
    pub(super) rule: String,
    pub(super) party: String,
    pub(super) at: u64,
    pub(super) what: String,
}

impl Summary {
    /// Adds the outcome of a seed.
    pub(super) fn add(&mut self, seed: u64, outcome: &Outcome, cpu: Duration) {
        self.seeds += 1;
        self.cpu += cpu;
        self.stats.add(&outcome.stats);
        self.violations += outcome.violations.len() as u64;
        self.hash = (self.seeds == 1).then_some(outcome.hash);
        let room = SHOWN.saturating_sub(self.broken.len());
        self.broken.extend(outcome.violations.iter().take(room).map(|violation| Broken {
            seed,
            rule: format!("{:?}", violation.rule),
            party: Name(violation.party).to_string(),
            at: violation.at,
            what: violation.what.clone(),
        }));
    }

    fn hours(&self) -> f64 {
        self.stats.simulated as f64 / 3.6e9
    }

    fn per_cpu_second(&self, figure: f64) -> f64 {
        let seconds = self.cpu.as_secs_f64();
        if seconds > 0.0 { figure / seconds } else { 0.0 }
    }

    fn figures(&self) -> Fields {
        let stats = &self.stats;
        let fields = Fields::default()
            .field("seeds", count(self.seeds))
            .field("steps", count(stats.steps))
            .field("messages sent", format!("{} ({} bytes)", count(stats.lines), count(stats.bytes)))
            .field("frames received", count(stats.frames))
            .field("texts delivered", count(stats.delivered))
            .field("handshakes", count(stats.handshakes))
            .field("owners' orders", format!("{} done, {} failed", count(stats.done), count(stats.failed)))
            .field("most bytes held", format!("{} of one node", count(stats.most_buffered as u64)))
            .field("simulated", format!("{:.1} h", self.hours()))
            .field(
                "computed",
                format!("{:.1} s on all cores, {:.1} s passed", self.cpu.as_secs_f64(), self.elapsed.as_secs_f64()),
            )
            .field(
                "speed",
                format!(
                    "{:.1} simulated hours and {} received frames a CPU second",
                    self.per_cpu_second(self.hours()),
                    count(self.per_cpu_second(stats.frames as f64) as u64)
                ),
            );
        match self.hash {
            Some(hash) => fields.field("hash of the run", format!("{hash:032x}")),
            None => fields,
        }
    }
}

impl View for Summary {
    fn json(&self) -> Object {
        let stats = &self.stats;
        let faults = |(name, times): (&&str, &u64)| Object::default().with("name", *name).with("times", *times).into();
        let attacks = |(name, attempts): (&&str, &wopr_p2p_sim::stats::Attempts)| {
            Object::default()
                .with("name", *name)
                .with("tried", attempts.tried)
                .with("repelled", attempts.repelled)
                .into()
        };
        let violations = |broken: &Broken| {
            Object::default()
                .with("seed", broken.seed)
                .with("rule", broken.rule.as_str())
                .with("party", broken.party.as_str())
                .with("atMicros", broken.at)
                .with("what", broken.what.as_str())
                .into()
        };
        Object::default()
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("commit", super::COMMIT)
            .with("seeds", self.seeds)
            .with("steps", stats.steps)
            .with("messages", stats.lines)
            .with("bytes", stats.bytes)
            .with("frames", stats.frames)
            .with("delivered", stats.delivered)
            .with("handshakes", stats.handshakes)
            .with("ordersDone", stats.done)
            .with("ordersFailed", stats.failed)
            .with("mostBuffered", stats.most_buffered)
            .with("simulatedHours", self.hours())
            .with("cpuSeconds", self.cpu.as_secs_f64())
            .with("hash", self.hash.map(|hash| format!("{hash:032x}")))
            .with("faults", stats.faults.iter().map(faults).collect::<Vec<Json>>().into_iter().collect::<Json>())
            .with("attacks", stats.attacks.iter().map(attacks).collect::<Vec<Json>>().into_iter().collect::<Json>())
            .with("violationCount", self.violations)
            .with("violations", self.broken.iter().map(violations).collect::<Vec<Json>>().into_iter().collect::<Json>())
            .with("test", self.test.clone())
    }

    fn text(&self) -> String {
        let mut text = self.figures().render(0);
        let mut faults = Table::new(["FAULT", "STRUCK"], "no faults struck");
        for (name, times) in &self.stats.faults {
            faults.row([(*name).into(), count(*times).into()]);
        }
        let mut attacks = Table::new(["ATTACK", "TRIED", "REPELLED"], "nobody attacked");
        for (name, attempts) in &self.stats.attacks {
            attacks.row([(*name).into(), count(attempts.tried).into(), count(attempts.repelled).into()]);
        }
        text += &format!("\n{}\n{}\n", faults.render(), attacks.render());
        if self.violations == 0 {
            return text + &format!("{GOOD}no rule was broken{GOOD:#}\n");
        }
        let mut broken = Table::new(["SEED", "AT", "WHO", "RULE", "WHAT"], "");
        for Broken { seed, rule, party, at, what } in &self.broken {
            let at = format!("{:.3} s", *at as f64 / 1e6);
            let seed = Cell::styled(seed.to_string(), BAD);
            broken.row([seed, at.into(), party.into(), rule.into(), what.into()]);
        }
        text += &broken.render();
        let left = self.violations - self.broken.len() as u64;
        if left > 0 {
            text += &format!("{DIM}and {left} more{DIM:#}\n");
        }
        match &self.test {
            Some(test) => text + &format!("\n{test}"),
            None => text,
        }
    }
}

/// A number with blanks between its thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        let shown = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1 000", "1 234 567"]);
    }
}
