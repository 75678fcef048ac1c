//! The session mirror.

use serde_json::{Value, json};

use crate::support::shape::has_shape;
use crate::world::{World, run_at};

pub(crate) fn history(world: &mut World, line: &str) {
    fill(world);
    let page = history_of(world, line);
    assert_eq!((&page["total"], &page["returned"]), (&250.into(), &10.into()));
    let history = page["history"].as_array().unwrap();
    assert_eq!((&history[0]["truncated"], &history[9]["content"]), (&true.into(), &"message 249".into()));
    assert!(history[0]["content"].as_str().unwrap().len() < 1000);
}

pub(crate) fn history_full(world: &mut World, line: &str) {
    let page = history_of(world, line);
    has_shape("sessions history", &page);
    for member in ["session", "total", "offset", "pageSize", "returned", "hasMore", "nextOffset", "history"] {
        assert!(page.get(member).is_some(), "the description has {member}: {page}");
    }
    has_shape("sessions list", &run_at(&world.me, "wopr sessions list --json", &[]).ok().json());
    assert_eq!(page_numbers(&page), (250, 0, 100, 100, Some(100)));
    let first = &page["history"][0];
    assert_eq!((&first["from"], &first["channel"]["type"]), (&"user".into(), &"p2p".into()));
}

pub(crate) fn history_next(world: &mut World, line: &str) {
    let page = history_of(world, line);
    assert_eq!(page_numbers(&page), (250, 100, 100, 100, Some(200)));
    assert_eq!(page["history"][0]["content"], "message 100");
    let last = history_of(world, r#"sessions_history(session="my-session", full=true, offset=200)"#);
    assert_eq!(page_numbers(&last), (250, 200, 100, 50, None));
    assert_eq!(last["history"][40]["content"].as_str().unwrap().len(), 5000, "untruncated");
}

pub(crate) fn history_by_fifty(world: &mut World, line: &str) {
    assert_eq!(page_numbers(&history_of(world, line)), (250, 0, 50, 50, Some(50)));
}

/// A session with more messages than a page, one of them long.
fn fill(world: &World) {
    let line = |number: usize| {
        let content = if number == 240 { "long ".repeat(1000) } else { format!("message {number}") };
        let channel = json!({ "type": "p2p", "id": world.alice_key });
        let iso = "2024-01-15T12:00:00.000Z";
        let line = json!({ "ts": 1_705_320_000_000_u64, "iso": iso, "from": "user", "type": "message",
            "content": content, "channel": channel });
        format!("{line}\n")
    };
    let file = world.me.folder().join("sessions/my-session.conversation.jsonl");
    std::fs::write(file, (0..250).map(line).collect::<String>()).unwrap();
}

/// The tool's call as the program's command.
fn history_of(world: &World, line: &str) -> Value {
    let call = line.split('#').next().unwrap_or_default().trim();
    let inner = call.strip_prefix("sessions_history(").and_then(|rest| rest.strip_suffix(')')).expect("a call");
    let mut command = "wopr sessions history".to_owned();
    for argument in inner.split(", ") {
        let (name, value) = argument.split_once('=').expect("an argument has a value");
        command += &match (name, value) {
            ("session", name) => format!(" {name}"),
            ("full", "true") => " --full".to_owned(),
            (name, number) => format!(" --{name} {number}"),
        };
    }
    world.run(&format!("{command} --json"), &[]).ok().json()
}

/// `total`, `offset`, `pageSize`, `returned` and `nextOffset`, which is there if `hasMore` says so.
fn page_numbers(page: &Value) -> (u64, u64, u64, u64, Option<u64>) {
    let number = |name: &str| page[name].as_u64().unwrap_or_else(|| panic!("no {name} in {page}"));
    let next = page["nextOffset"].as_u64();
    assert_eq!(page["hasMore"], next.is_some());
    assert_eq!(page["history"].as_array().unwrap().len() as u64, number("returned"));
    (number("total"), number("offset"), number("pageSize"), number("returned"), next)
}
