use clap::CommandFactory as _;

use super::*;

const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// The words of a command line: blanks part them, double quotes hold them together, ` #` starts a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut open) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => (quoted, open) = (!quoted, true),
            '#' if !quoted && !open => break,
            c if c.is_whitespace() && !quoted => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            c => {
                word.push(c);
                open = true;
            }
        }
    }
    assert!(!quoted, "unbalanced quotes: {line}");
    if open {
        words.push(word);
    }
    words
}

/// Every command line in the code blocks of the description that starts with `wopr`.
fn seed_lines() -> Vec<Vec<String>> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in include_str!("../../tests/data/seed.md").lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block && line.starts_with("wopr ") {
            lines.push(words(line));
        }
    }
    lines
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(words(line))
}

fn p2p(line: &str) -> NodeCommand {
    match parse(line).unwrap().area {
        Area::P2p { command: P2p::Node(command) } => command,
        other => panic!("not a command for a node: {other:?}"),
    }
}

#[test]
fn the_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_line_of_the_seed_parses() {
    let lines = seed_lines();
    assert_eq!(lines.len(), 59, "the number of command lines in the copy of the description");
    for mut line in lines {
        for word in &mut line {
            if word.starts_with('<') && word.ends_with('>') {
                *word = if word.contains("pubkey") || word.contains("key") { KEY } else { "a1b2c3d4" }.to_owned();
            }
        }
        let parsed = Cli::try_parse_from(&line);
        assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
    }
}

#[test]
fn the_defaults_are_those_of_the_seed() {
    let NodeCommand::Inject(inject) = p2p("wopr p2p inject alice --session main --message hi") else { panic!() };
    assert_eq!(inject.timeout, Duration::from_secs(300));
    let NodeCommand::Log(log) = p2p("wopr p2p log alice --session main --message hi") else { panic!() };
    assert_eq!(log.timeout, Duration::from_secs(10));
    let NodeCommand::Invite { command: Invite::Create { expire, capabilities, sessions, .. } } =
        p2p(&format!("wopr p2p invite create {KEY} --sessions \"a, b\""))
    else {
        panic!()
    };
    assert_eq!(expire, Duration::from_secs(24 * 3600));
    assert_eq!(capabilities, [Capability::inject()]);
    assert_eq!(sessions.names(), ["a", "b"]);
}

#[test]
fn grant_gives_or_takes_back() {
    let NodeCommand::Grant(Grant { command: None, give: Some(give) }) = p2p("wopr p2p grant alice main docs") else {
        panic!()
    };
    assert_eq!(
        (give.peer, give.sessions),
        (PeerRef::Name("alice".to_owned()), vec!["main".to_owned(), "docs".to_owned()])
    );
    assert_eq!(give.trust, TrustLevel::Trusted);
    assert_eq!(give.capabilities, [Capability::inject()]);
    assert_eq!(give.expire, None);
    let NodeCommand::Grant(Grant { command: Some(GrantCommand::Revoke { grant }), .. }) =
        p2p("wopr p2p grant revoke 12ab")
    else {
        panic!()
    };
    assert_eq!(grant, "12ab");
}

#[test]
fn a_session_may_be_called_revoke() {
    let NodeCommand::Grant(Grant { command: None, give: Some(give) }) = p2p("wopr p2p grant alice revoke") else {
        panic!()
    };
    assert_eq!(give.sessions, ["revoke"]);
}

#[test]
fn grant_without_a_peer_or_session_is_refused() {
    assert!(parse("wopr p2p grant").is_err());
    assert!(parse("wopr p2p grant alice").is_err());
    assert!(parse("wopr p2p grant --trust trusted").is_err());
    assert!(parse("wopr p2p grant revoke").is_err());
}

#[test]
fn json_and_home_stand_anywhere() {
    for line in
        ["wopr --json --home /h p2p peers", "wopr p2p peers --home /h --json", "wopr p2p --json peers --home /h"]
    {
        let cli = parse(line).unwrap();
        assert!(cli.json, "{line}");
        assert_eq!(cli.home, Some(PathBuf::from("/h")));
    }
}

#[test]
fn a_message_may_start_with_a_dash() {
    let NodeCommand::Log(log) = p2p("wopr p2p send alice --session main --message \"-5 degrees\"") else { panic!() };
    assert_eq!(log.to.message, "-5 degrees");
    let NodeCommand::Log(log) = p2p("wopr p2p log alice --session main --message -") else { panic!() };
    assert_eq!(log.to.message, "-");
}

#[test]
fn bad_values_are_refused_with_the_accepted_ones() {
    for (line, hint) in [
        (format!("wopr p2p grant {KEY} main --trust full"), "semi-trusted"),
        (format!("wopr p2p grant {KEY} main --capabilities ALL"), "inject.tools"),
        ("wopr p2p rotate --reason boredom".to_owned(), "compromise"),
        ("wopr p2p invite create MCow --sessions a".to_owned(), "MCowBQYDK2VwAy"),
        (format!("wopr p2p invite create {KEY} --sessions a --expire soon"), "24h"),
        ("wopr p2p log alice --session * --message hi".to_owned(), "name one session"),
    ] {
        let error = parse(&line).unwrap_err().to_string();
        assert!(error.contains(hint), "{line}: {error}");
    }
}
