//! Gives nodes a bug on purpose, one after the other, and looks how many seeds it takes until a rule is broken. A bug that
//! breaks none is a hole in the rules; a rule or an attack that no bug needs is untried.
//!
//! ```sh
//! RUSTC_WORKSPACE_WRAPPER=$PWD/driver-sim/plant-bugs cargo run -p wopr-p2p-sim --example planted_bugs
//! ```
//!
//! runs the worlds without any bug, then with each, and writes `docs/planted-bugs.md`. With `-- --check` each bug runs
//! with the one seed that the table names; with names of bugs, these run up to the first seed that shows them, and nothing
//! is written; `NAME:WORLD` takes only the seeds with that attack or trouble.

#[cfg(not(wopr_planted))]
fn main() -> std::process::ExitCode {
    eprintln!("no bug is planted in this build: set RUSTC_WORKSPACE_WRAPPER=$PWD/driver-sim/plant-bugs");
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
    use wopr_p2p_sim::named::Named;
    use wopr_p2p_sim::oracle::{Rule, Violation};
    use wopr_p2p_sim::scenario::{Recipe, Scenario};
    use wopr_p2p_sim::trouble::Trouble;

    /// The table.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/planted-bugs.md");
    /// Each kind of trouble in turn, then each attack, and then everything that goes wrong by itself at once.
    const ROUND: u64 = (Trouble::ALL.len() + Kind::ALL.len() + 1) as u64;
    /// In so many seeds every bug is looked for.
    const COUNTED: u64 = ROUND;
    /// In so many at most, one that was not noticed yet.
    const MOST: u64 = 10 * ROUND;

    /// What became of a bug.
    struct Row {
        bug: Bug,
        /// The seeds in which it was noticed, and by what.
        caught: BTreeMap<u64, Rule>,
        /// Those in which it would not have been without the attack.
        needed: BTreeSet<u64>,
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
        println!("{} bugs, {} not noticed in {MOST} seeds: {missed:?}", rows.len(), missed.len());
        if !missed.is_empty() {
            return ExitCode::FAILURE;
        }
        if words.is_empty() { write(&rows) } else { ExitCode::SUCCESS }
    }

    /// Writes the table, if every rule and every attack has a bug that needs it.
    fn write(rows: &[Row]) -> ExitCode {
        let untried_rules: Vec<Rule> =
            Rule::ALL.into_iter().filter(|rule| noticed_by(rows, *rule).is_empty()).collect();
        let untried: Vec<&str> =
            Kind::ALL.into_iter().filter(|kind| needing(rows, *kind).is_empty()).map(Kind::name).collect();
        if let Err(error) = std::fs::write(FILE, document(rows)) {
            eprintln!("{FILE}: {error}");
            return ExitCode::FAILURE;
        }
        println!("rules that no bug breaks: {untried_rules:?}; attacks that no bug needs: {untried:?}");
        if untried_rules.is_empty() && untried.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
        let words = words.iter().map(|word| word.split_once(':').unwrap_or((word, "")));
        let chosen = words.filter_map(|(bug, world)| {
            let bug = Bug::ALL.into_iter().find(|known| format!("{known:?}") == bug)?;
            Some((bug, (1..=MOST).filter(|seed| world.is_empty() || name(*seed) == world).collect()))
        });
        chosen.collect()
    }

    fn try_out(bug: Bug, seeds: &[u64], counted: u64) -> Row {
        let mut row = Row { bug, caught: BTreeMap::new(), needed: BTreeSet::new() };
        let named = counted == 1;
        for seed in seeds.iter().copied() {
            if seed > counted && !row.caught.is_empty() {
                break;
            }
            let world = scenario(seed);
            if let Some(rule) = first_violation(bug, &world, named) {
                row.caught.insert(seed, rule);
                let attacked = world.attack.is_some();
                let alone = Scenario { attack: None, ..world };
                if !named && attacked && first_violation(bug, &alone, false).is_none() {
                    row.needed.insert(seed);
                }
            }
        }
        row
    }

    /// The world of a seed: small, so that there is time for many; every attack and kind of trouble in turn, and with the
    /// attacks every degree of faults.
    fn scenario(seed: u64) -> Scenario {
        let faults = [3, 6, 0, 10][usize::try_from((seed - 1) / ROUND % 4).unwrap_or(0)];
        let recipe = Recipe { nodes: (3, 5), seconds: 240, faults, ..Recipe::default() };
        match named(seed) {
            Some(named) => Scenario::from_seed(seed, &named.put_into(recipe)),
            None => Scenario { attack: None, ..Scenario::from_seed(seed, &recipe) },
        }
    }

    fn named(seed: u64) -> Option<Named> {
        let turn = usize::try_from((seed - 1) % ROUND).unwrap_or(0);
        Named::all().nth(turn)
    }

    fn name(seed: u64) -> &'static str {
        named(seed).map_or("all faults", Named::name)
    }

    /// The rule that is broken first, and if wanted in what way.
    fn first_violation(bug: Bug, scenario: &Scenario, aloud: bool) -> Option<Rule> {
        let run = AssertUnwindSafe(|| run_to_violation(World::with_bug(scenario, bug)));
        let Ok(violation) = catch_unwind(run) else { return Some(Rule::NoPanic) };
        violation.map(|violation| {
            if aloud {
                eprintln!("{bug:?}: {violation}");
            }
            violation.rule
        })
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
                println!("without any bug, seed {seed}, {}: {violation}", name(seed));
                good = false;
            }
        });
        good
    }

    fn line(row: &Row) -> String {
        let Row { bug, caught, .. } = row;
        let Some((first, rule)) = caught.first_key_value() else {
            return format!("| `{bug:?}` | {} | never | | | | |\n", bug.what().trim());
        };
        let rules: BTreeSet<String> = caught.values().map(|rule| format!("{rule:?}")).collect();
        let others: Vec<String> = rules.into_iter().filter(|other| *other != format!("{rule:?}")).collect();
        let often = caught.range(..=COUNTED).count();
        format!(
            "| `{bug:?}` | {} | {first} | {rule:?} | {} | {often} | {} |\n",
            bug.what().trim(),
            name(*first),
            others.join(", "),
        )
    }

    fn document(rows: &[Row]) -> String {
        let mut text = format!(
            "# Planted bugs\n\n\
             The simulator's rules are only worth what they notice. So the core can be built with bugs on purpose \
             ([`planted.rs`](../core/src/planted.rs)), with `--cfg wopr_planted`. A build without debug assertions refuses \
             that, and in every other build nothing of it is left. Each bug runs in the same worlds: 3 to 5 nodes, four \
             minutes of trouble, then healing; each of the {} kinds of trouble in turn, each of the {} attacks, and all \
             faults at once; and so on at other degrees of faults. The table says how many seeds it took until a rule was broken, which rule, in \
             which world, and in how many of the first {COUNTED} seeds any was; a bug that is not noticed in those runs on, \
             up to seed {MOST}. Made by\n\n\
             ```sh\n\
             RUSTC_WORKSPACE_WRAPPER=$PWD/driver-sim/plant-bugs cargo run -p wopr-p2p-sim --example planted_bugs\n\
             ```\n\n\
             and looked at again, one seed for each bug, by the same command with `-- --check`.\n\n\
             {} bugs, all noticed.\n\n\
             | bug | what the node does | seeds | rule | world | of {COUNTED} | other rules |\n\
             |---|---|---|---|---|---|---|\n",
            Trouble::ALL.len(),
            Kind::ALL.len(),
            rows.len(),
        );
        rows.iter().for_each(|row| text += &line(row));
        text +=
            "\n## By rule\n\nThe bugs that broke this rule first, in any of the seeds.\n\n| rule | bugs |\n|---|---|\n";
        for rule in Rule::ALL {
            writeln!(text, "| {rule:?} | {} |", noticed_by(rows, rule).join(", ")).unwrap_or_default();
        }
        text += "\n## By attack\n\nThe bugs that broke a rule in a world with this attack, and none in the same world without \
                 it (where ephemeral keys also live longer); those first that were noticed in the fewest worlds.\n\n| attack | bugs |\n|---|---|\n";
        for kind in Kind::ALL {
            writeln!(text, "| {} | {} |", kind.name(), needing(rows, kind).join(", ")).unwrap_or_default();
        }
        text
    }

    /// The bugs that broke this rule first.
    fn noticed_by(rows: &[Row], rule: Rule) -> Vec<String> {
        let broke = |row: &&Row| row.caught.values().any(|it| *it == rule);
        rows.iter().filter(broke).map(|row| format!("`{:?}`", row.bug)).collect()
    }

    /// The bugs that this attack showed, rare ones first.
    fn needing(rows: &[Row], kind: Kind) -> Vec<String> {
        let by_attack = |row: &&Row| row.needed.iter().any(|seed| named(*seed) == Some(Named::Attack(kind)));
        let mut rows: Vec<&Row> = rows.iter().filter(by_attack).collect();
        rows.sort_by_key(|row| row.caught.len());
        rows.iter().map(|row| format!("`{:?}`", row.bug)).collect()
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
            |bug| {
                (
                    bug,
                    seed(&bug),
                    seed(&bug).filter(|seed| *seed > 0).and_then(|seed| first_violation(bug, &scenario(seed), true)),
                )
            },
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
