use wopr_p2p_smol::handler::{Agent, Backend, Chat, KeySource, Program};

use super::*;

fn p2p(keys: &str) -> Result<Config, String> {
    file::parse(&format!("{{\"plugins\":\n{{\"data\":{{\"p2p\":\n{{{keys}}}}}}}}}"))
}

fn refused(keys: &str) -> String {
    p2p(keys).unwrap_err()
}

fn with_variable(name: &'static str, value: &'static str) -> Result<Config, Failure> {
    let mut config = Config::default();
    config.override_with(|asked| (asked == name).then(|| value.to_owned())).map(|()| config)
}

#[test]
fn the_seeds_configuration_is_accepted() {
    let seed = include_str!("../../tests/data/seed.md");
    let block = seed.split("### Plugin Configuration").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let config = file::parse(block.strip_prefix("json").unwrap()).unwrap();
    assert_eq!(config.key_rotation_grace_hours, Some(24));
    assert_eq!(config.max_payload_size, Some(1_048_576));
    assert_eq!(config.rate_limit.injects.max_per_minute.map(u32::from), Some(10));
    assert_eq!(config.rate_limit.claims.max_per_hour.map(u32::from), Some(20));
    assert_eq!(config.rate_limit.logs, Rate::default());
}

/// The example in docs/config.md is read, and what it shows as defaults are the defaults.
#[test]
fn the_documented_configuration_is_accepted_and_shows_the_defaults() {
    let doc = include_str!("../../../docs/config.md");
    let block = doc.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = file::parse(block).unwrap();
    let mut set = config.core();
    // Without the key there is none.
    let gateway = set.gateway.take().unwrap();
    assert_eq!((gateway.session.as_str(), gateway.approval), ("public-gateway", false));
    assert_eq!(set, wopr_p2p_core::Config::default());
    assert_eq!(config.sessions.len(), 2);
}

#[test]
fn discovery_and_gateway_reach_the_node() {
    let gateway = r#"{"enabled": true, "session": "public", "capabilities": ["inject.limited"], "approval": true}"#;
    let config =
        p2p(&format!(r#""discoveryTrust": "semi-trusted", "autoAccept": true, "gateway": {gateway}"#)).unwrap();
    let set = config.core();
    assert_eq!((set.discovery.trust, set.discovery.auto_accept), (TrustLevel::SemiTrusted, true));
    let through = set.gateway.unwrap();
    assert_eq!((through.session.as_str(), through.approval), ("public", true));
    assert_eq!(through.capabilities, ["inject.limited".parse().unwrap()]);
    // The description shows it at the top of the file.
    assert_eq!(file::parse(&format!(r#"{{"gateway": {gateway}}}"#)).unwrap().gateway, config.gateway);
    let twice = format!(r#"{{"gateway": {gateway}, "plugins": {{"data": {{"p2p": {{"gateway": {gateway}}}}}}}}}"#);
    assert!(file::parse(&twice).unwrap_err().contains("twice"));
    let off = p2p(&format!(r#""gateway": {}"#, gateway.replacen("true", "false", 1))).unwrap();
    assert_eq!(off.core().gateway, None);
}

/// The parser names what it accepts; each of these names stands in the documentation's example.
#[test]
fn every_accepted_key_is_documented() {
    let doc = include_str!("../../../docs/config.md");
    let block = doc.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let documented: serde_json::Value = serde_json::from_str(block).unwrap();
    let mut accepted = 0;
    let mut places = vec!["/plugins/data/p2p".to_owned()];
    while let Some(place) = places.pop() {
        let mut file = documented.clone();
        let there = file.pointer_mut(&place).unwrap().as_object_mut().unwrap();
        let members: Vec<String> = there.keys().cloned().collect();
        let inner = there.iter().filter(|(name, value)| value.is_object() && *name != "sessions");
        places.extend(inner.map(|(name, _)| format!("{place}/{name}")));
        there.insert("misspelt".to_owned(), 1.into());
        let fault = file::parse(&file.to_string()).unwrap_err();
        let (_, names) = fault.split_once("expected").unwrap_or_else(|| panic!("{place}: {fault}"));
        for name in names.split('`').skip(1).step_by(2) {
            assert!(members.iter().any(|member| member == name), "{place}/{name} is not in docs/config.md");
            accepted += 1;
        }
    }
    assert!(accepted > 50, "{accepted}");
}

#[test]
fn every_bound_reaches_the_node() {
    let set = p2p(r#""keyCompromiseGraceHours": 2, "minProtocolVersion": 2, "maxQuestionChain": 3,
        "rateLimit": {"logs": {"ban": "7m"}},
        "replay": {"window": "1m", "maxNonces": 4},
        "outbox": {"maxMessages": 5, "maxPerPeer": 6, "maxBytes": 7, "firstRetry": "8s", "lastRetry": "9s"},
        "requests": {"maxWaiting": 10, "maxPerPeer": 11, "maxBytes": 12, "expire": "13s"},
        "limits": {"maxStreams": 14, "maxStrangerStreams": 15, "maxStreamsPerPeer": 16, "maxRequestsPerStream": 17,
            "maxQuestions": 18, "maxGrants": 19, "maxPeers": 20, "maxInvites": 21, "maxTopics": 22,
            "maxDiscovered": 23, "idleTimeout": "24s", "handshakeTimeout": "25s"}"#)
    .unwrap()
    .core();
    assert_eq!(set.validate(), Ok(()));
    let seconds = Duration::from_secs;
    assert_eq!((set.rotation_grace_compromise, set.min_version, set.max_chain), (seconds(7200), 2, 3));
    assert_eq!((set.rates.logs.ban, set.replay.window, set.replay.max_nonces), (seconds(420), seconds(60), 4));
    let outbox = &set.outbox;
    assert_eq!((outbox.max_messages, outbox.max_per_peer, outbox.max_bytes), (5, 6, 7));
    assert_eq!((outbox.first_retry, outbox.last_retry), (seconds(8), seconds(9)));
    let discovery = &set.discovery;
    assert_eq!((discovery.max_requests, discovery.max_held_per_peer, discovery.max_held_bytes), (10, 11, 12));
    assert_eq!((discovery.request_expiry, discovery.max_topics, discovery.max_found), (seconds(13), 22, 23));
    assert_eq!((set.max_streams, set.max_stranger_streams, set.max_streams_per_remote), (14, 15, 16));
    assert_eq!((set.max_requests_per_stream, set.max_asks, set.max_grants), (17, 18, 19));
    assert_eq!((set.max_peers, set.max_invites), (20, 21));
    assert_eq!((set.idle_timeout, set.handshake_timeout), (seconds(24), seconds(25)));
}

#[test]
fn settings_reach_the_node() {
    let config = p2p(r#""keyRotationGraceHours": 2, "maxPayloadSize": 1000, "ephemeralTtl": "5m",
           "rateLimit": {"logs": {"maxPerMinute": 7}, "invalid": {"maxPerHour": 9}}"#)
    .unwrap();
    let set = config.core();
    assert_eq!((set.rotation_grace, set.ephemeral_ttl), (Duration::from_secs(7200), Duration::from_secs(300)));
    assert_eq!(set.max_payload, 1000);
    assert_eq!((set.rates.logs.per_minute, set.rates.logs.per_hour, set.rates.invalid.per_hour), (7, 100, 9));
}

#[test]
fn our_own_keys_are_read() {
    let config =
        p2p(r#""bootstrap": ["127.0.0.1:49737", "dht.example.org:1"], "bind": "127.0.0.1", "lan": false, "ephemeralTtl": "30m",
           "gateway": {"enabled": true, "session": "public", "capabilities": ["inject.limited"]},
           "sessions": {"*": {"command": ["ai"]},
                        "main": {"command": ["ai", "-q"], "timeout": "60s", "maxAnswerBytes": 1000}}"#)
        .unwrap();
    assert_eq!(config.bootstrap.as_deref(), Some(&["127.0.0.1:49737".to_owned(), "dht.example.org:1".to_owned()][..]));
    assert_eq!((config.bind, config.lan), (Some([127, 0, 0, 1].into()), Some(false)));
    assert_eq!(config.ephemeral_ttl, Some(Duration::from_secs(1800)));
    let main = &config.sessions["main"];
    assert_eq!(main.backend, Backend::Command(Program::new("ai", ["-q"])));
    assert_eq!((main.timeout, main.max_answer), (Duration::from_secs(60), 1000));
    assert_eq!(config.sessions[EVERY_SESSION], Handler::command("ai", [""; 0]));
}

#[test]
fn a_relays_key_is_read_as_hyperswarms_programs_write_it() {
    const HEX: &str = "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3da";
    // As npm's hypercore-id-encoding writes the same.
    const Z32: &str = "yrry6fo7roiurqkye78fkzddpjazo9hgtskjzeijsn557tqc4xpy";
    let [hex, z32] = [HEX, Z32].map(|key| p2p(&format!("\"relayThrough\": [\"{key}\"]")).unwrap().relay_through);
    let expected: Vec<u8> = (0..32).map(|i| i * 7 + 1).collect();
    assert_eq!(hex.as_deref().map(|keys| keys[0].to_vec()), Some(expected));
    assert_eq!(hex, z32);
    // One letter has more bits than there is room for.
    let too_much = format!("{}9", &Z32[..51]);
    assert!(p2p(&format!("\"relayThrough\": [\"{too_much}\"]")).is_err());
}

#[test]
fn an_empty_file_object_sets_nothing() {
    assert_eq!(file::parse("{}"), Ok(Config::default()));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_accepted_ones() {
    let fault = refused("\n\"maxPayload\": 5");
    assert!(fault.starts_with("line 4, key plugins.data.p2p.maxPayload: unknown field `maxPayload`"), "{fault}");
    assert!(fault.contains("`maxPayloadSize`") && fault.contains("`autoAccept`"), "{fault}");
    let fault = file::parse("{\n\"plugin\": {}}").unwrap_err();
    assert!(fault.starts_with("line 2, key plugin: ") && fault.contains("`plugins`"), "{fault}");
}

#[test]
fn a_bad_value_is_named_with_its_line_its_key_and_what_is_accepted() {
    for (keys, key, accepted) in [
        ("\n\n\"uiPort\": \"x\"", "line 5, key plugins.data.p2p.uiPort: ", "1 to 65535"),
        ("\"discoveryTrust\": \"full\"", "line 3, key plugins.data.p2p.discoveryTrust: ", "semi-trusted"),
        ("\"autoAccept\": 1", "p2p.autoAccept: ", "boolean"),
        ("\"keyRotationGraceHours\": 200", "p2p.keyRotationGraceHours: ", "hours from 0 to 168"),
        ("\"maxPayloadSize\": 0", "p2p.maxPayloadSize: ", "bytes from 64 to 1048576"),
        ("\"maxPayloadSize\": 2000000", "p2p.maxPayloadSize: ", "bytes from 64 to 1048576"),
        ("\"rateLimit\": {\"logs\": {\"maxPerHour\": 0}}", "rateLimit.logs.maxPerHour: ", "nonzero"),
        ("\"rateLimit\": {\"log\": {}}", "rateLimit.log: ", "`logs`"),
        ("\"bootstrap\": [\"nowhere\"]", "p2p.bootstrap: ", "host:port"),
        ("\"bind\": \"eth0\"", "p2p.bind: ", "0.0.0.0"),
        ("\"relayThrough\": [\"abc\"]", "p2p.relayThrough: ", "64 hex digits"),
        ("\"ephemeralTtl\": \"1 hour\"", "p2p.ephemeralTtl: ", "24h"),
        ("\"sessions\": {\"a\": {\"command\": []}}", "sessions.a.command: ", "starts with a program"),
        ("\"sessions\": {\"a\": {}}", "p2p.sessions.a: ", "one of \"command\", \"chat\" and \"agent\""),
        ("\"sessions\": {\"\": {\"command\": [\"x\"]}}", "p2p.sessions: ", "must not be empty"),
        (
            "\"gateway\": {\"enabled\": true, \"session\": \"a\", \"capabilities\": []}",
            "gateway.capabilities: ",
            "at least one",
        ),
        ("\"gateway\": {\"enabled\": true, \"session\": \"*\", \"capabilities\": []}", "gateway.session: ", "name one"),
    ] {
        let fault = refused(keys);
        assert!(fault.contains(key) && fault.contains(accepted), "{keys}: {fault}");
    }
}

#[test]
fn broken_json_is_named_with_its_line() {
    let fault = file::parse("{\n\"plugins\": {,}\n}").unwrap_err();
    assert!(fault.starts_with("line 2"), "{fault}");
    assert!(file::parse("{}\n{}").unwrap_err().starts_with("line 2: trailing characters"));
}

#[test]
fn variables_override_the_file() {
    let config = with_variable("WOPR_P2P_BOOTSTRAP", "10.0.0.1:1, 10.0.0.2:2").unwrap();
    assert_eq!(config.bootstrap, Some(vec!["10.0.0.1:1".to_owned(), "10.0.0.2:2".to_owned()]));
    assert_eq!(with_variable("WOPR_P2P_MAX_PAYLOAD", "1000").unwrap().max_payload_size, Some(1000));
    assert_eq!(with_variable("WOPR_P2P_KEY_GRACE_HOURS", "2").unwrap().key_rotation_grace_hours, Some(2));
    assert_eq!(with_variable("WOPR_P2P_AUTO_ACCEPT", "true").unwrap().auto_accept, Some(true));
    let trust = with_variable("WOPR_P2P_DISCOVERY_TRUST", "trusted").unwrap().discovery_trust;
    assert_eq!(trust, Some(TrustLevel::Trusted));
    assert_eq!(with_variable("WOPR_P2P_BOOTSTRAP", "").unwrap(), Config::default());
}

#[test]
fn a_bad_variable_is_named_with_what_is_accepted() {
    for (name, value, accepted) in [
        ("WOPR_P2P_BOOTSTRAP", "10.0.0.1", "HOST:PORT"),
        ("WOPR_P2P_MAX_PAYLOAD", "2000000", "1048576"),
        ("WOPR_P2P_KEY_GRACE_HOURS", "a day", "168"),
        ("WOPR_P2P_AUTO_ACCEPT", "yes", "true or false"),
        ("WOPR_P2P_DISCOVERY_TRUST", "full", "semi-trusted"),
    ] {
        let failure = with_variable(name, value).unwrap_err();
        assert!(failure.message.contains(name) && failure.message.contains(accepted), "{failure}");
    }
}

#[test]
fn the_file_of_the_home_is_read_and_its_faults_carry_the_path() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(Config::read(home.path(), |_| None), Ok(Config::default()));
    std::fs::write(home.path().join(FILE), r#"{"plugins":{"data":{"p2p":{"keyRotationGraceHours":3}}}}"#).unwrap();
    assert_eq!(Config::read(home.path(), |_| None).unwrap().key_rotation_grace_hours, Some(3));
    std::fs::write(home.path().join(FILE), r#"{"plug":1}"#).unwrap();
    let failure = Config::read(home.path(), |_| None).unwrap_err();
    assert!(failure.message.contains(&home.path().join(FILE).display().to_string()), "{failure}");
}

fn session(keys: &str) -> Result<Handler, String> {
    p2p(&format!("\"sessions\": {{\"main\": {{{keys}}}}}")).map(|mut config| config.sessions.remove("main").unwrap())
}

#[test]
fn a_chat_endpoint_is_read() {
    let handler = session(
        r#""chat": {"url": "https://api.example.org/v1", "model": "m", "keyEnv": "KEY", "system": "Be brief.",
            "contextTokens": 100}, "maxConcurrent": 1, "maxPerDay": 20"#,
    )
    .unwrap();
    assert_eq!((handler.max_running, handler.max_per_day.map(u32::from)), (1, Some(20)));
    let expected = Chat {
        url: "https://api.example.org/v1".parse().unwrap(),
        model: "m".to_owned(),
        key: Some(KeySource::Environment("KEY".to_owned())),
        system: Some("Be brief.".to_owned()),
        context_tokens: 100,
    };
    assert_eq!(handler.backend, Backend::Chat(expected));
}

#[test]
fn an_agent_is_read() {
    let handler = session(r#""agent": {"command": ["gemini", "--acp"], "folder": "/home/me/work"}"#).unwrap();
    let expected = Agent {
        program: Program::new("gemini", ["--acp"]),
        folder: "/home/me/work".into(),
        system: None,
        context_tokens: Chat::DEFAULT_CONTEXT_TOKENS,
    };
    assert_eq!(handler.backend, Backend::Agent(expected));
}

#[test]
fn a_session_that_would_do_harm_or_cannot_work_is_refused() {
    let chat = |keys: &str| session(&format!("\"chat\": {{\"model\": \"m\", {keys}}}")).unwrap_err();
    for (refused, why) in [
        (session("").unwrap_err(), "one of \"command\", \"chat\" and \"agent\""),
        (session(r#""command": ["a"], "agent": {"command": ["a"], "folder": "/"}"#).unwrap_err(), "one of"),
        (session(r#""agent": {"command": ["a"], "folder": "work"}"#).unwrap_err(), "write the whole path"),
        (chat(r#""url": "localhost:1""#), "is not the address of an endpoint"),
        (chat(r#""url": "ftp://host/v1""#), "is not the address of an endpoint"),
        (chat(r#""url": "https://me:secret@host/v1""#), "put the key into"),
        (chat(r#""url": "http://example.org/v1", "keyEnv": "K""#), "unencrypted"),
        (chat(r#""url": "https://host/v1", "keyEnv": "K", "keyFile": "/k""#), "not in both"),
        (chat(r#""url": "https://host/v1", "keyFile": "k""#), "write the whole path"),
        (chat(r#""url": "https://host/v1", "key": "sk-1""#), "unknown field `key`"),
    ] {
        assert!(refused.contains("sessions.main") && refused.contains(why), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
    for url in ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8080/v1"] {
        session(&format!(r#""chat": {{"url": "{url}", "model": "m", "keyEnv": "K"}}"#)).unwrap();
    }
}
