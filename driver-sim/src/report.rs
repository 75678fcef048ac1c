//! A run for others to read: as JSON lines for programs, and as one page that shows it in a browser. docs/sim.md
//! describes the lines.
//!
//! Invariant: what stands in a record, whoever wrote it, is text in the page and never markup.

use serde_json::{Value, json};

use crate::trace::Name;
use crate::world::World;

/// The number of the shape of the lines: another one where a reader of this one would be wrong.
const FORMAT: u32 = 1;

/// What the page is made of; the record takes the place of the last mark.
const PAGE: &str = include_str!("page/page.html");
const PARTS: [(&str, &str); 2] =
    [("/*STYLE*/", include_str!("page/page.css")), ("/*SCRIPT*/", include_str!("page/page.js"))];
const RECORD: &str = "/*RECORD*/";

/// The lines of a world whose record was kept: what kind of run it is, everything that happened, how it ended.
pub fn lines(world: &World) -> impl Iterator<Item = Value> {
    let lines = world.trace().lines().iter().map(crate::trace::Line::to_json);
    core::iter::once(head(world)).chain(lines).chain(core::iter::once(end(world)))
}

/// The page of a world whose record was kept: one file that needs no other.
#[must_use]
pub fn page(world: &World) -> String {
    let record: Vec<String> = lines(world).map(|line| inert(&line)).collect();
    let page = PARTS.into_iter().fold(PAGE.to_owned(), |page, (mark, part)| page.replacen(mark, part, 1));
    page.replacen(RECORD, &format!("[\n{}\n]", record.join(",\n")), 1)
}

/// JSON in which nothing can end a script element or begin any other: it means the same.
fn inert(value: &Value) -> String {
    let escape = |c: char| match c {
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    value.to_string().chars().map(escape).collect()
}

fn head(world: &World) -> Value {
    let scenario = &world.scenario;
    let originals = (0..world.originals.len()).map(crate::net::Party::Original);
    let nodes = (0..world.hosts.len()).map(crate::net::Party::Node);
    let attacker = world.mallory.as_ref().map(|_| crate::net::Party::Mallory);
    let parties: Vec<String> = nodes.chain(originals).chain(attacker).map(|party| Name(party).to_string()).collect();
    json!({
        "at": 0,
        "kind": "run",
        "format": FORMAT,
        "seed": scenario.seed,
        "parties": parties,
        "attack": scenario.attack.map(crate::adversary::Kind::name),
        "about": scenario.attack.map(crate::adversary::Kind::about),
        "healsAt": world.heals_at(),
    })
}

fn end(world: &World) -> Value {
    json!({
        "at": world.now(),
        "kind": "end",
        "violations": world.violations().len(),
        "hash": format!("{:032x}", world.trace().hash()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Party;
    use crate::scenario::{Recipe, Scenario};

    fn traced() -> World {
        let recipe = Recipe { nodes: (3, 3), seconds: 60, faults: 0, ..Recipe::default() };
        let mut world = World::new(&Scenario::from_seed(4, &recipe), true);
        world.run();
        world
    }

    #[test]
    fn what_stands_in_the_record_cannot_become_markup() {
        let mut world = traced();
        let hostile = "</script><script>alert(1)</script><!-- \u{2028} & <img src=x onerror=alert(1)>";
        world.violated(crate::oracle::Rule::Secret, Party::Node(0), hostile);
        let page = page(&world);
        // The two scripts that are ours, each opened and closed once.
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("<img") && !page.contains('\u{2028}'));
        let record = page.split("type=\"application/json\">").nth(1).and_then(|rest| rest.split("</script>").next());
        let record: Vec<Value> = serde_json::from_str(record.unwrap()).unwrap();
        assert!(record.iter().any(|line| line["detail"].as_str().is_some_and(|detail| detail.contains(hostile))));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&traced());
        for foreign in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("default-src 'none'"));
        for mark in ["/*STYLE*/", "/*SCRIPT*/", "/*RECORD*/"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }

    #[test]
    fn every_message_that_arrives_was_sent_before() {
        let world = traced();
        let lines: Vec<Value> = lines(&world).collect();
        assert_eq!((&lines[0]["kind"], &lines[0]["format"]), (&json!("run"), &json!(FORMAT)));
        assert_eq!(lines.last().unwrap()["kind"], "end");
        let mut sent = std::collections::BTreeMap::new();
        let mut arrived = 0;
        for line in &lines {
            let ends = (line["party"].clone(), line["other"].clone());
            match line["kind"].as_str() {
                Some("sends") => assert!(sent.insert(line["message"].as_u64(), ends).is_none()),
                Some("receives") => {
                    assert_eq!(sent[&line["message"].as_u64()], (ends.1, ends.0));
                    arrived += 1;
                }
                _ => {}
            }
        }
        assert!(arrived > 20, "{arrived}");
    }

    #[test]
    fn the_changes_of_state_add_up_to_the_state() {
        let world = traced();
        let mut states: std::collections::BTreeMap<String, serde_json::Map<String, Value>> = Default::default();
        for line in lines(&world).filter(|line| line["kind"] == "state") {
            let state = states.entry(line["party"].as_str().unwrap().to_owned()).or_default();
            state.extend(line["state"].as_object().unwrap().clone());
        }
        for (index, host) in world.hosts.iter().enumerate() {
            let state = &states[&format!("n{index}")];
            assert_eq!(state["up"], true);
            assert_eq!(state["grants"].as_array().unwrap().len(), host.node.as_ref().unwrap().snapshot().grants.len());
            let stored: usize = host.disk.content.sessions.values().map(crate::disk::SessionFile::len).sum();
            let shown: u64 = state["sessions"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
            assert_eq!(shown, stored as u64);
        }
    }
}
