use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use quickcheck::{QuickCheck, TestResult};

use super::{Grant, Grants, GrantsFull, Needs};
use crate::access::{Capability, SessionName, SessionSet, TrustLevel};
use crate::keys::{Nonce, PublicKey};
use crate::time::WallTime;

const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

fn id(n: u8) -> Nonce {
    Nonce([n; 16])
}

fn session(name: &str) -> SessionName {
    name.parse().unwrap()
}

fn capabilities(words: &[&str]) -> Vec<Capability> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn grant(number: u8, peer: u8, sessions: &[&str], words: &[&str]) -> Grant {
    Grant {
        id: id(number),
        peer: key(peer),
        sessions: SessionSet::new(sessions.iter().copied()).unwrap(),
        except: [].into(),
        capabilities: capabilities(words),
        trust: TrustLevel::SemiTrusted,
        created: NOW,
        expires: None,
        invite: None,
    }
}

fn grants(list: impl IntoIterator<Item = Grant>) -> Grants {
    Grants::load(100, list)
}

fn may(grants: &Grants, peer: u8, name: &str, needs: Needs) -> bool {
    grants.authorise(&key(peer), &session(name), needs, NOW).is_some()
}

#[test]
fn flaw_06_the_message_capability_lets_a_peer_log_but_not_inject() {
    let table = grants([grant(1, 1, &["main"], &["message"])]);
    assert!(may(&table, 1, "main", Needs::Log));
    assert!(!may(&table, 1, "main", Needs::Inject));
}

#[test]
fn inject_lets_a_peer_log_and_inject() {
    let table = grants([grant(1, 1, &["main"], &["inject"])]);
    assert!(may(&table, 1, "main", Needs::Log));
    assert!(may(&table, 1, "main", Needs::Inject));
}

#[test]
fn a_refinement_of_inject_lets_a_peer_inject_only() {
    let table = grants([grant(1, 1, &["main"], &["inject.limited"])]);
    assert!(!may(&table, 1, "main", Needs::Log));
    assert!(may(&table, 1, "main", Needs::Inject));
}

#[test]
fn only_the_granted_peer_may_use_only_the_granted_session() {
    let table = grants([grant(1, 1, &["main"], &["inject"])]);
    assert!(!may(&table, 1, "other", Needs::Inject));
    assert!(!may(&table, 2, "main", Needs::Inject));
}

#[test]
fn a_wildcard_covers_every_session() {
    let table = grants([grant(1, 1, &["*"], &["inject"])]);
    assert!(may(&table, 1, "whatever", Needs::Inject));
}

#[test]
fn flaw_08_a_second_grant_does_not_widen_the_first_and_revoking_it_leaves_exactly_the_first() {
    let mut table = grants([grant(1, 1, &["main"], &["message"]), grant(2, 1, &["docs"], &["inject"])]);
    assert!(!may(&table, 1, "main", Needs::Inject), "the capability of the one is not for the sessions of the other");
    assert_eq!(table.remove(&id(2)), Some(grant(2, 1, &["docs"], &["inject"])));
    assert!(!may(&table, 1, "docs", Needs::Inject));
    assert!(may(&table, 1, "main", Needs::Log));
    assert_eq!(table.len(), 1);
}

#[test]
fn flaw_08_a_grant_ends_at_its_expiry() {
    let mut timed = grant(1, 1, &["main"], &["inject"]);
    timed.expires = Some(WallTime::from_millis(NOW.as_millis() + 1));
    let mut table = grants([timed.clone()]);
    let after = timed.expires.unwrap();
    assert!(may(&table, 1, "main", Needs::Inject));
    assert_eq!(table.authorise(&key(1), &session("main"), Needs::Inject, after), None);
    assert!(table.capabilities(&key(1), &session("main"), after).is_empty());
    assert!(table.prune_expired(NOW).is_empty());
    assert_eq!(table.prune_expired(after), [timed]);
    assert!(table.is_empty());
}

#[test]
fn flaw_09_removing_a_peer_ends_all_its_grants_and_no_other() {
    let mut table = grants([
        grant(1, 1, &["main"], &["inject"]),
        grant(2, 1, &["*"], &["message"]),
        grant(3, 2, &["main"], &["inject"]),
    ]);
    let removed: Vec<Nonce> = table.remove_peer(&key(1)).iter().map(|grant| grant.id).collect();
    assert_eq!(removed, [id(1), id(2)]);
    assert!(!may(&table, 1, "main", Needs::Log));
    assert!(may(&table, 2, "main", Needs::Inject));
    assert!(table.remove_peer(&key(1)).is_empty());
}

#[test]
fn narrowing_takes_one_session_from_every_grant_of_the_peer_and_leaves_the_others() {
    let mut table = grants([
        grant(1, 1, &["sensitive", "main"], &["inject"]),
        grant(2, 1, &["sensitive"], &["inject"]),
        grant(3, 1, &["*"], &["message"]),
        grant(4, 1, &["docs"], &["inject"]),
        grant(5, 2, &["sensitive"], &["inject"]),
    ]);
    let done = table.narrow(&key(1), &session("sensitive"));
    assert_eq!(done.removed, [grant(2, 1, &["sensitive"], &["inject"])]);
    assert_eq!(done.narrowed.iter().map(|grant| grant.id).collect::<Vec<_>>(), [id(1), id(3)]);
    assert!(!may(&table, 1, "sensitive", Needs::Log), "neither by name nor by the wildcard");
    assert!(may(&table, 1, "main", Needs::Inject));
    assert!(may(&table, 1, "anything", Needs::Log));
    assert!(may(&table, 2, "sensitive", Needs::Inject));
    assert_eq!(table.narrow(&key(1), &session("sensitive")), super::Narrowed::default());
}

#[test]
fn a_wildcard_with_too_many_exceptions_ends_rather_than_keep_the_session() {
    let mut table = grants([grant(1, 1, &["*"], &["inject"])]);
    for number in 0..Grant::MAX_EXCEPT {
        assert!(table.narrow(&key(1), &session(&format!("s{number}"))).removed.is_empty());
    }
    let done = table.narrow(&key(1), &session("one more"));
    assert_eq!(done.removed.len(), 1);
    assert_eq!(done.removed[0].except.len(), Grant::MAX_EXCEPT);
    assert!(table.is_empty());
}

#[test]
fn of_several_grants_the_one_with_most_trust_then_widest_capabilities_is_chosen() {
    let mut trusted = grant(9, 1, &["main"], &["inject.tools"]);
    trusted.trust = TrustLevel::Trusted;
    let chosen =
        |list: Vec<Grant>| grants(list).authorise(&key(1), &session("main"), Needs::Inject, NOW).map(|grant| grant.id);
    let narrow = grant(1, 1, &["main"], &["inject.tools"]);
    let two = grant(2, 1, &["main"], &["inject.tools", "inject.limited"]);
    let full = grant(3, 1, &["main"], &["inject"]);
    assert_eq!(chosen(vec![narrow.clone(), two.clone(), full.clone(), trusted]), Some(id(9)));
    assert_eq!(chosen(vec![narrow.clone(), two.clone(), full]), Some(id(3)));
    assert_eq!(chosen(vec![narrow.clone(), two]), Some(id(2)));
    assert_eq!(chosen(vec![grant(4, 1, &["main"], &["inject.x"]), narrow]), Some(id(1)));
}

#[test]
fn the_handler_gets_the_capabilities_of_all_grants_for_that_session() {
    let table = grants([
        grant(1, 1, &["main"], &["inject.tools"]),
        grant(2, 1, &["*"], &["message", "inject.tools"]),
        grant(3, 1, &["docs"], &["inject"]),
    ]);
    assert_eq!(table.capabilities(&key(1), &session("main"), NOW), capabilities(&["inject.tools", "message"]));
}

#[test]
fn after_a_rotation_the_new_key_has_the_grants_and_the_old_has_none() {
    let mut table = grants([grant(1, 1, &["main"], &["inject"]), grant(2, 1, &["docs"], &["message"])]);
    assert_eq!(table.rekey(&key(1), &key(2)), 2);
    assert!(!may(&table, 1, "main", Needs::Log));
    assert!(may(&table, 2, "main", Needs::Inject));
    assert!(may(&table, 2, "docs", Needs::Log));
    assert_eq!(table.remove(&id(1)).map(|grant| grant.peer), Some(key(2)));
}

#[test]
fn a_full_table_refuses_and_changes_nothing() {
    let mut table = Grants::load(1, [grant(1, 1, &["main"], &["inject"])]);
    assert_eq!(table.insert(grant(2, 1, &["docs"], &["inject"])), Err(GrantsFull { max: 1 }));
    assert!(table.get(&id(2)).is_none());
    table.insert(grant(1, 2, &["docs"], &["inject"])).unwrap();
    assert_eq!(table.iter().map(|grant| grant.peer).collect::<Vec<_>>(), [key(2)]);
}

#[test]
fn flaw_32_grants_are_told_apart_by_16_random_bytes_not_by_a_millisecond() {
    let mut table = grants([grant(1, 1, &["main"], &["inject"]), grant(2, 1, &["docs"], &["inject"])]);
    assert_eq!(table.iter().map(|grant| grant.created).collect::<Vec<_>>(), [NOW, NOW]);
    assert!(table.remove(&id(1)).is_some());
    assert!(may(&table, 1, "docs", Needs::Inject));
}

#[test]
fn a_grant_reads_back_from_json_and_unknown_members_are_refused() {
    let mut full = grant(1, 1, &["*"], &["inject.tools"]);
    full.except = [session("secret")].into();
    full.expires = Some(NOW);
    full.invite = Some(id(7));
    let table = grants([full.clone(), grant(2, 1, &["main"], &["inject"])]);
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Grant>>(&text).unwrap(), table.iter().cloned().collect::<Vec<_>>());
    let plain = serde_json::to_string(&grant(2, 1, &["main"], &["inject"])).unwrap();
    let expected = format!(
        "{{\"id\":\"{}\",\"peerKey\":\"{}\",\"sessions\":[\"main\"],\"caps\":[\"inject\"],\
         \"trust\":\"semi-trusted\",\"created\":1767225600000}}",
        id(2),
        key(1)
    );
    assert_eq!(plain, expected);
    let later = plain.replace("\"caps\"", "\"onlyOnMondays\":true,\"caps\"");
    assert!(serde_json::from_str::<Grant>(&later).is_err());
}

#[test]
fn a_hundred_thousand_grants_are_authorised_by_peer() {
    let peer = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        PublicKey::from_bytes(bytes)
    };
    let all = (0..100_000_u32).map(|n| {
        let mut one = grant(0, 0, &["main"], &["inject"]);
        one.id.0[..4].copy_from_slice(&n.to_be_bytes());
        one.peer = peer(n);
        one
    });
    let table = Grants::load(100_000, all);
    for n in (0..200_000).step_by(1000) {
        let found = table.authorise(&peer(n), &session("main"), Needs::Inject, NOW);
        assert_eq!(found.map(|grant| grant.peer), (n < 100_000).then(|| peer(n)));
    }
}

/// A grant made of small numbers, so that different ones meet each other.
fn small_grant((number, peer, sessions, words, expires): (u8, u8, u8, u8, u8)) -> Grant {
    let pick = |bits: u8, names: &[&'static str]| -> Vec<&'static str> {
        names.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect()
    };
    let names = match pick(sessions, &["a", "b", "*"]) {
        names if names.is_empty() => vec!["a"],
        names => names,
    };
    let mut made = grant(number % 16, peer % 3, &names, &pick(words, &["message", "inject", "inject.x"]));
    made.trust = [TrustLevel::Untrusted, TrustLevel::SemiTrusted, TrustLevel::Trusted][usize::from(number % 3)];
    made.expires = (expires % 4 != 0).then(|| WallTime::from_millis(u64::from(expires % 8)));
    made
}

/// A table that is a plain list, with the rules written out.
#[derive(Default)]
struct Model(Vec<(Grant, Vec<String>)>);

impl Model {
    fn authorises(&self, peer: PublicKey, name: &str, needs: Needs, now: u64) -> bool {
        self.0.iter().any(|(grant, taken)| {
            let words: &[&str] = match needs {
                Needs::Log => &["message", "inject"],
                Needs::Inject => &["inject", "inject.x"],
            };
            grant.peer == peer
                && (grant.sessions.names().contains(&name) || grant.sessions == SessionSet::All)
                && !taken.iter().any(|other| other == name)
                && grant.capabilities.iter().any(|capability| words.contains(&capability.as_str()))
                && grant.expires.is_none_or(|end| end.as_millis() > now)
        })
    }
}

/// Number, peer, sessions, capabilities and expiry of [`small_grant`]; and what to do with it.
type Step = (u8, (u8, u8, u8, u8, u8));

#[test]
fn authorise_agrees_with_a_naive_model() {
    fn property(steps: Vec<Step>) -> TestResult {
        let mut table = Grants::new(usize::MAX);
        let mut model = Model::default();
        for (what, made) in steps {
            let made = small_grant(made);
            match what % 6 {
                0..=2 => {
                    model.0.retain(|(grant, _)| grant.id != made.id);
                    table.insert(made.clone()).unwrap();
                    model.0.push((made, vec![]));
                }
                3 => {
                    model.0.retain(|(grant, _)| grant.id != made.id);
                    table.remove(&made.id);
                }
                4 => {
                    table.narrow(&made.peer, &session("a"));
                    let touched = model.0.iter_mut().filter(|(grant, _)| grant.peer == made.peer);
                    touched.for_each(|(_, taken)| taken.push("a".into()));
                }
                _ => {
                    let next = key((made.peer.as_bytes()[0] + 1) % 3);
                    table.rekey(&made.peer, &next);
                    let moved = model.0.iter_mut().filter(|(grant, _)| grant.peer == made.peer);
                    moved.for_each(|(grant, _)| grant.peer = next);
                }
            }
        }
        for peer in 0..3 {
            for name in ["a", "b", "c"] {
                for needs in [Needs::Log, Needs::Inject] {
                    for now in 0..9 {
                        let found = table.authorise(&key(peer), &session(name), needs, WallTime::from_millis(now));
                        if found.is_some() != model.authorises(key(peer), name, needs, now) {
                            return TestResult::failed();
                        }
                        assert!(found.is_none_or(|grant| table.get(&grant.id) == Some(grant)));
                    }
                }
            }
        }
        TestResult::passed()
    }
    QuickCheck::new().tests(300).quickcheck(property as fn(Vec<Step>) -> TestResult);
}
