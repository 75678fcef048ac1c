use super::*;
use crate::access::SessionSet;
use crate::grant::Grant;
use crate::keys::Nonce;

const NOW: WallTime = WallTime::from_millis(1_000);
const PEER: PublicKey = PublicKey::from_bytes([1; 32]);

fn capabilities(names: &[&str]) -> Vec<Capability> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn gateway(names: &[&str]) -> Gateway {
    Gateway { session: SessionName::new("public").unwrap(), capabilities: capabilities(names), approval: false }
}

fn grants(granted: &[(&[&str], &[&str], TrustLevel)]) -> Grants {
    let grant = |(id, (sessions, names, trust)): (usize, &(&[&str], &[&str], TrustLevel))| Grant {
        id: Nonce([u8::try_from(id).unwrap(); 16]),
        peer: PEER,
        sessions: SessionSet::new(sessions.iter().copied()).unwrap(),
        except: BTreeSet::new(),
        capabilities: capabilities(names),
        trust: *trust,
        created: NOW,
        expires: None,
        invite: None,
    };
    Grants::load(10, granted.iter().enumerate().map(grant))
}

fn may(
    grants: &Grants,
    gateway: Option<&Gateway>,
    session: &str,
    needs: Needs,
) -> Option<(TrustLevel, Vec<Capability>)> {
    let permit = permit(grants, gateway, &PEER, &SessionName::new(session).unwrap(), needs, NOW)?;
    Some((permit.trust, permit.capabilities))
}

#[test]
fn an_untrusted_peer_reaches_the_gateway_only_whatever_its_grant_says() {
    use TrustLevel::Untrusted;
    let (all, gateway) = (grants(&[(&["*"], &["inject"], Untrusted)]), gateway(&["inject.limited"]));
    let limited = capabilities(&["inject.limited"]);
    assert_eq!(may(&all, Some(&gateway), "public", Needs::Inject), Some((Untrusted, limited)));
    assert_eq!(may(&all, Some(&gateway), "public", Needs::Log), None);
    assert_eq!(may(&all, Some(&gateway), "main", Needs::Inject), None);
    assert_eq!(may(&all, None, "public", Needs::Inject), None);
    let other = grants(&[(&["main"], &["inject"], Untrusted)]);
    assert_eq!(may(&other, Some(&gateway), "public", Needs::Inject), None);
    assert_eq!(may(&other, Some(&gateway), "main", Needs::Inject), None);
}

#[test]
fn the_gateway_gives_no_more_than_the_grant() {
    use TrustLevel::Untrusted;
    for (granted, through, left) in [
        (&["inject"][..], &["inject.limited", "message"][..], &["inject.limited", "message"][..]),
        (&["inject.tools"], &["inject"], &["inject.tools"]),
        (&["inject.tools"], &["inject.limited"], &[]),
        (&["message"], &["inject"], &["message"]),
        (&["message"], &["inject.limited"], &[]),
    ] {
        let (grants, gateway) = (grants(&[(&["public"], granted, Untrusted)]), gateway(through));
        let may = [Needs::Log, Needs::Inject].into_iter().find_map(|n| may(&grants, Some(&gateway), "public", n));
        assert_eq!(may.map(|(_, all)| all).unwrap_or_default(), capabilities(left), "{granted:?} {through:?}");
    }
}

#[test]
fn other_grants_are_not_narrowed() {
    use TrustLevel::{SemiTrusted, Trusted, Untrusted};
    let gateway = gateway(&["inject.limited"]);
    let mixed = grants(&[(&["*"], &["inject"], Untrusted), (&["docs"], &["message"], SemiTrusted)]);
    assert_eq!(may(&mixed, Some(&gateway), "docs", Needs::Log), Some((SemiTrusted, capabilities(&["message"]))));
    assert_eq!(may(&mixed, Some(&gateway), "docs", Needs::Inject), None);
    let trusted = grants(&[(&["*"], &["inject"], Untrusted), (&["public"], &["inject"], Trusted)]);
    let both = capabilities(&["inject", "inject.limited"]);
    assert_eq!(may(&trusted, Some(&gateway), "public", Needs::Log), Some((Trusted, both)));
}
