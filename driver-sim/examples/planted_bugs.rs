//! Gives nodes a bug on purpose, one after the other, and looks how many seeds it takes until a rule is broken. A bug that
//! breaks none is a hole in the rules.
//!
//! ```sh
//! RUSTFLAGS='--cfg wopr_planted' cargo run -p wopr-p2p-sim --example planted_bugs --target-dir target/planted
//! ```
//!
//! runs the worlds without any bug, then with each, and writes `docs/planted-bugs.md`. With `-- --check` each bug runs with the one seed that the table names; with names of
//! bugs, these run up to the first seed that shows them, and nothing is written; `NAME:ATTACK` takes only the seeds with
//! that attack.

#[cfg(not(wopr_planted))]
fn main() -> std::process::ExitCode {
    eprintln!("no bug is planted in this build: set RUSTFLAGS='--cfg wopr_planted'");
    std::process::ExitCode::FAILURE
}

#[cfg(wopr_planted)]
fn main() -> std::process::ExitCode {
    planted::main()
}

#[cfg(wopr_planted)]
mod planted {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::ExitCode;
    use std::sync::Mutex;

    use wopr_p2p_core::Bug;
    use wopr_p2p_sim::World;
    use wopr_p2p_sim::adversary::Kind;
    use wopr_p2p_sim::oracle::{Rule, Violation};
    use wopr_p2p_sim::scenario::{Recipe, Scenario};

    /// The table.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/planted-bugs.md");
    /// Each attack in turn, and one world without any.
    const ROUND: u64 = Kind::ALL.len() as u64 + 1;
    /// In so many seeds every bug is looked for.
    const COUNTED: u64 = ROUND;
    /// In so many at most, one that was not noticed yet.
    const MOST: u64 = 10 * ROUND;

    /// What became of a bug.
    struct Row {
        bug: Bug,
        /// The seeds in which it was noticed, and by what.
        caught: BTreeMap<u64, Rule>,
    }

    pub(super) fn main() -> ExitCode {
        std::panic::set_hook(Box::new(|_| {}));
        let words: Vec<String> = std::env::args().skip(1).collect();
        if words.iter().any(|word| word == "--check") {
            return check();
        }
        if words.is_empty() && !good_worlds() {
            return ExitCode::FAILURE;
        }
        let counted = if words.is_empty() { COUNTED } else { 1 };
        let all = |bug: Bug| (bug, (1..=MOST).collect::<Vec<u64>>());
        let chosen = if words.is_empty() { Bug::ALL.into_iter().map(all).collect() } else { chosen(&words) };
        let mut rows = Vec::new();
        in_parallel(
            chosen.into_iter(),
            |(bug, seeds)| try_out(bug, &seeds, counted),
            |row| {
                eprint!("{}", line(&row));
                rows.push(row);
            },
        );
        rows.sort_by_key(|row| row.bug);
        let missed: Vec<Bug> = rows.iter().filter(|row| row.caught.is_empty()).map(|row| row.bug).collect();
        if words.is_empty() && missed.is_empty() {
            if let Err(error) = std::fs::write(FILE, document(&rows)) {
                eprintln!("{FILE}: {error}");
                return ExitCode::FAILURE;
            }
        }
        println!("{} bugs, {} not noticed in {MOST} seeds: {missed:?}", rows.len(), missed.len());
        if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Two at a time, as there are two processors at least.
    fn in_parallel<T: Send, R: Send>(
        items: impl Iterator<Item = T> + Send,
        work: impl Fn(T) -> R + Sync,
        mut done: impl FnMut(R) + Send,
    ) {
        let (items, done) = (Mutex::new(items), Mutex::new(&mut done));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let Some(item) = items.lock().ok().and_then(|mut items| items.next()) else { return };
                        let result = work(item);
                        if let Ok(mut done) = done.lock() {
                            done(result);
                        }
                    }
                });
            }
        });
    }

    /// The bugs that were named, each with the seeds to try.
    fn chosen(words: &[String]) -> Vec<(Bug, Vec<u64>)> {
        let named = words.iter().map(|word| word.split_once(':').unwrap_or((word, "")));
        let named = named.filter_map(|(bug, attack)| {
            let bug = Bug::ALL.into_iter().find(|known| format!("{known:?}") == bug)?;
            Some((bug, (1..=MOST).filter(|seed| attack.is_empty() || name(self::attack(*seed)) == attack).collect()))
        });
        named.collect()
    }

    fn try_out(bug: Bug, seeds: &[u64], counted: u64) -> Row {
        let mut caught = BTreeMap::new();
        for seed in seeds.iter().copied() {
            if seed > counted && !caught.is_empty() {
                break;
            }
            caught.extend(first_violation(bug, seed).map(|rule| (seed, rule)));
        }
        Row { bug, caught }
    }

    /// The world of a seed: small, so that there is time for many; every attack and every degree of trouble in turn.
    fn scenario(seed: u64) -> Scenario {
        let round = (seed - 1) / ROUND;
        let attack = attack(seed);
        let faults = [3, 6, 0, 10][usize::try_from(round % 4).unwrap_or(0)];
        let recipe = Recipe { nodes: (3, 5), seconds: 180, faults, attack, ..Recipe::default() };
        let mut scenario = Scenario::from_seed(seed, &recipe);
        scenario.attack = attack;
        scenario
    }

    fn attack(seed: u64) -> Option<Kind> {
        let turn = usize::try_from((seed - 1) % ROUND).unwrap_or(0);
        Kind::ALL.get(turn).copied()
    }

    fn first_violation(bug: Bug, seed: u64) -> Option<Rule> {
        let run = AssertUnwindSafe(|| run_to_violation(World::with_bug(&scenario(seed), bug)));
        catch_unwind(run).map_or(Some(Rule::NoPanic), |violation| violation.map(|it| it.rule))
    }

    fn run_to_violation(mut world: World) -> Option<Violation> {
        while world.violations().is_empty() && world.step() {}
        world.violations().first().cloned()
    }

    /// The same worlds without any bug: what breaks a rule there is no finding.
    fn good_worlds() -> bool {
        let mut good = true;
        let run = |seed| (seed, run_to_violation(World::new(&scenario(seed), false)));
        in_parallel(1..=COUNTED, run, |(seed, violation)| {
            if let Some(violation) = violation {
                println!("without any bug, seed {seed}, attack {}: {violation}", name(attack(seed)));
                good = false;
            }
        });
        good
    }

    fn name(attack: Option<Kind>) -> &'static str {
        attack.map_or("none", Kind::name)
    }

    fn line(row: &Row) -> String {
        let Row { bug, caught } = row;
        let Some((first, rule)) = caught.first_key_value() else {
            return format!("| `{bug:?}` | {} | never | | | |\n", bug.what().trim());
        };
        let rules: BTreeSet<String> = caught.values().map(|rule| format!("{rule:?}")).collect();
        let others: Vec<String> = rules.into_iter().filter(|other| *other != format!("{rule:?}")).collect();
        let often = caught.range(..=COUNTED).count();
        format!(
            "| `{bug:?}` | {} | {first} | {rule:?} | {} | {often} | {} |\n",
            bug.what().trim(),
            name(attack(*first)),
            others.join(", "),
        )
    }

    fn document(rows: &[Row]) -> String {
        let mut text = format!(
            "# Planted bugs\n\n\
             The simulator's rules are only worth what they notice. So the core can be built with bugs on purpose \
             (`core/src/planted.rs`), in builds with `--cfg wopr_planted`; a build without debug assertions refuses that, \
             and in every other build nothing of it is left. Each bug runs in the same worlds: 3 to 5 nodes, three minutes \
             of trouble, then healing; each of the {} attacks in turn and one world without any, at four degrees of \
             faults. The table says at which seed a rule was broken first, by which attack in that world, and in how many \
             of the first {COUNTED} seeds any rule was. Made by\n\n\
             ```sh\n\
             RUSTFLAGS='--cfg wopr_planted' cargo run -p wopr-p2p-sim --example planted_bugs --target-dir target/planted\n\
             ```\n\n\
             and looked at again, one seed for each bug, by the same command with `-- --check` in every CI run.\n\n\
             All {} are caught.\n\n\
             | bug | what the node does | first seed | rule | attack there | of {COUNTED} | also by |\n\
             |---|---|---|---|---|---|---|\n",
            Kind::ALL.len(),
            rows.len(),
        );
        rows.iter().for_each(|row| text += &line(row));
        text += "\n## By rule\n\nThe bugs that the rule was the first to notice, in any of the seeds.\n\n| rule | bugs |\n|---|---|\n";
        for (rule, bugs) in by(rows, |_, rule| format!("{rule:?}")) {
            writeln!(text, "| {rule} | {} |", bugs.join(", ")).unwrap_or_default();
        }
        text += "\n## By attack\n\nThe bugs that were noticed in a world with the attack, those first that were noticed in the fewest.\n\n\
                 | attack | bugs |\n|---|---|\n";
        for (attack, mut bugs) in by(rows, |seed, _| name(attack(seed)).to_owned()) {
            let more = bugs.len().saturating_sub(3);
            bugs.truncate(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(text, "| {attack} | {}{more} |", bugs.join(", ")).unwrap_or_default();
        }
        text
    }

    /// The bugs by something of the seeds that noticed them, rare ones first.
    fn by(rows: &[Row], key: impl Fn(u64, Rule) -> String) -> BTreeMap<String, Vec<String>> {
        let mut rows: Vec<&Row> = rows.iter().collect();
        rows.sort_by_key(|row| row.caught.len());
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            let keys: BTreeSet<String> = row.caught.iter().map(|(seed, rule)| key(*seed, *rule)).collect();
            for key in keys {
                found.entry(key).or_default().push(format!("`{:?}`", row.bug));
            }
        }
        found
    }

    /// Every bug with the seed that the table names.
    fn check() -> ExitCode {
        let table = std::fs::read_to_string(FILE).unwrap_or_default();
        let seed = |bug: &Bug| {
            let line = table.lines().find(|line| line.starts_with(&format!("| `{bug:?}` |")))?;
            line.split('|').nth(3)?.trim().parse::<u64>().ok()
        };
        let mut failed = Vec::new();
        in_parallel(
            Bug::ALL.into_iter(),
            |bug| (bug, seed(&bug), seed(&bug).filter(|seed| *seed > 0).and_then(|seed| first_violation(bug, seed))),
            |(bug, seed, rule)| match (seed, rule) {
                (None, _) => failed.push(format!("{bug:?} has no seed in docs/planted-bugs.md: make the table anew")),
                (Some(seed), None) => failed.push(format!("{bug:?} is not noticed at seed {seed} any more")),
                _ => {}
            },
        );
        failed.iter().for_each(|what| println!("{what}"));
        println!("{} planted bugs, {} caught", Bug::ALL.len(), Bug::ALL.len() - failed.len());
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
