use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::event_log::EventLine;

use super::*;

fn answers() -> Vec<Value> {
    let bob = json!({"publicKey": "MCowB", "shortId": "318eb7c0", "name": "bob"});
    let evil = json!({"publicKey": "MCowE", "shortId": "5c6d9d25", "name": "e\u{1b}[31mvil\nroot"});
    vec![
        json!({"publicKey": "MCowA", "shortId": "f069a040", "peers": 2, "connected": [bob],
               "banned": [{"peer": evil, "name": "logs", "bannedForMs": 3_600_000}],
               "network": {"dhtReachable": true, "dhtNodes": 12, "nat": "consistent"}}),
        json!({"peers": [
            {"publicKey": "MCowB", "shortId": "318eb7c0", "name": "bob", "lastSeen": 0, "paths": ["punched"]},
            {"publicKey": "MCowE", "shortId": "5c6d9d25", "name": evil["name"], "lastSeen": null, "paths": null}]}),
        json!({"grants": [{"peer": bob, "sessions": ["main", "docs"], "capabilities": ["inject"],
                           "trust": "trusted", "expires": null}]}),
        json!({"requests": [{"peer": evil, "session": null}]}),
        json!({"outbox": [{"peer": bob, "session": "main"}]}),
    ]
}

fn events(count: u64) -> Vec<EventLine> {
    (1..=count)
        .map(|seq| {
            let json = format!(r#"{{"seq":{seq},"ts":0,"iso":"1970","event":"p2p.grant.created","number":{seq}}}"#);
            EventLine { seq, at: WallTime::from_millis(0), event: "p2p.grant.created".to_owned(), json }
        })
        .collect()
}

fn drawn(state: &mut State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, state)).unwrap();
    terminal
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    drawn(state, width, height).backend().to_string()
}

fn state() -> State {
    State::new(Glance::new(&answers(), &events(3)))
}

#[test]
fn everything_has_its_place_at_80_by_24() {
    let shown = screen(&mut state(), 80, 24);
    for text in [
        "f069a040  MCowA",
        "DHT reachable (12 nodes), NAT consistent · 1 of 2 peers connected",
        "Peers (2)",
        "punched",
        "main, docs",
        "Waiting (2)",
        "asks for access",
        "message for",
        "Bans (1)",
        "1h",
        "Events (3)",
        "q quit",
    ] {
        assert!(shown.contains(text), "no {text:?} in:\n{shown}");
    }
}

#[test]
fn what_a_peer_chose_moves_no_cursor() {
    let shown = screen(&mut state(), 80, 24);
    assert!(!shown.contains('\u{1b}') && shown.contains("evil root"), "{shown}");
}

#[test]
fn what_does_not_fit_says_so_and_the_short_columns_stay_whole() {
    let mut answers = answers();
    answers[2]["grants"][0]["sessions"] = json!(["a-session-with-a-long-name", "and-another-one"]);
    let shown = screen(&mut State::new(Glance::new(&answers, &events(1))), 80, 24);
    let grant = shown.lines().find(|line| line.contains("a-session")).unwrap();
    for text in ["bob", "a-session-with", "…", "inject", "trusted", "never"] {
        assert!(grant.contains(text), "no {text:?} in:\n{shown}");
    }
}

#[test]
fn what_waits_has_its_id_and_the_command_for_it() {
    let mut answers = answers();
    answers[3]["requests"][0]["id"] = json!("1f2e3d4c");
    let shown = screen(&mut State::new(Glance::new(&answers, &[])), 80, 24);
    assert!(shown.contains("1f2e3d4c") && shown.contains("wopr p2p approve|deny ID"), "{shown}");
}

#[test]
fn nothing_to_show_says_what_to_do() {
    let nothing = [json!({}), json!({}), json!({}), json!({}), json!({})];
    let shown = screen(&mut State::new(Glance::new(&nothing, &[])), 120, 30);
    for text in ["no network", "wopr p2p invite create", "nobody may", "nothing needs you", "nothing has happened yet"]
    {
        assert!(shown.contains(text), "no {text:?} in:\n{shown}");
    }
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(0, 0), (1, 1), (5, 3), (20, 6), (300, 2)] {
        let mut state = state();
        drawn(&mut state, width, height);
        state.zoom();
        drawn(&mut state, width, height);
    }
}

#[test]
fn keys_move_the_focus_scroll_and_leave() {
    let mut state = State::new(Glance::new(&answers(), &events(100)));
    let press = |state: &mut State, code| match means(KeyEvent::new(code, KeyModifiers::NONE)) {
        Some(Key::Other(change)) => change(state),
        _ => panic!("{code:?} means nothing"),
    };
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::Enter);
    assert!(!screen(&mut state, 80, 24).contains("Peers"));
    press(&mut state, KeyCode::PageDown);
    screen(&mut state, 80, 24);
    assert_eq!(state.offsets, [0, 0, 0, 0, 10]);
    // No further than to a full page.
    for _ in 0..100 {
        press(&mut state, KeyCode::Down);
    }
    screen(&mut state, 80, 24);
    assert_eq!(state.offsets[4], 100 - 19);
    assert!(matches!(means(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Leave)));
    assert!(matches!(means(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Some(Key::Leave)));
}
