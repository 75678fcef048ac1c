//! The lab is what its picture says: addresses, gateways, ports, and nothing left behind. Plain sockets of the
//! standard library, no `wopr`: when a test in `lab.rs` fails, this tells whether the lab is to blame.
#![cfg(target_os = "linux")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::lab::{Host, Lab, Plan, Ports, namespaces, start_time};
use support::program::Running;

/// For what must arrive: long enough for any machine, so that only a lost packet takes it.
const ARRIVES: Duration = Duration::from_secs(10);
/// For what must not arrive; it was sent before something that did.
const ABSENT: Duration = Duration::from_millis(50);

fn udp(host: &Host, port: u16) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind(("0.0.0.0", port))).expect("a free port in a namespace of our own");
    socket.set_read_timeout(Some(ARRIVES)).expect("a limit above zero");
    socket
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("the packet arrives");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

fn send(socket: &UdpSocket, text: &str, to: SocketAddr) {
    socket.send_to(text.as_bytes(), to).unwrap_or_else(|e| panic!("cannot send to {to}: {e}"));
}

/// Nothing is waiting, and nothing comes.
fn silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(ABSENT)).expect("a limit above zero");
    let heard = socket.recv_from(&mut [0; 64]);
    socket.set_read_timeout(Some(ARRIVES)).expect("a limit above zero");
    matches!(heard, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Where `host` sees packets of `socket` come from.
fn seen_from(socket: &UdpSocket, host: &Host) -> SocketAddr {
    let listener = udp(host, 0);
    send(socket, "where am I?", host.at(port(&listener)));
    receive(&listener).1
}

#[test]
fn public_hosts_and_gateways_are_as_the_plan_says() {
    let plan = Plan { public: [198, 51, 100], nat_b: Ports::Random, ..Plan::default() };
    let Some(lab) = Lab::build(plan) else { return };
    let [h1, h2, a, a2, b] = ["h1", "h2", "a", "a2", "b"].map(|name| lab.host(name));
    assert_eq!(h1.address, Ipv4Addr::new(198, 51, 100, 11));

    tcp_echo(&h2, &h1, h2.address);
    tcp_echo(&a, &h1, Ipv4Addr::new(198, 51, 100, 101));
    tcp_echo(&b, &h2, Ipv4Addr::new(198, 51, 100, 102));

    let socket = udp(&a, 4000);
    let observers = ["h1", "h2", "n2", "n3"].map(|name| lab.host(name));
    for host in &observers {
        assert_eq!(seen_from(&socket, host).to_string(), "198.51.100.101:4000", "the port is preserved");
    }
    let (neighbour, listener) = (udp(&a2, 4000), udp(&h1, 5000));
    send(&socket, "first", h1.at(5000));
    send(&neighbour, "second", h1.at(5000));
    let (first, second) = (receive(&listener).1, receive(&listener).1);
    assert_eq!(first.port(), 4000);
    assert_ne!(second.port(), 4000, "a port in use towards a destination is not given twice");

    let socket = udp(&b, 4000);
    let mut ports: Vec<u16> = observers.iter().map(|host| seen_from(&socket, host).port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 1, "each destination has a port of its own: {ports:?}");
}

/// `client` reaches a server on `server`, which sees it come from `seen_as`.
fn tcp_echo(client: &Host, server: &Host, seen_as: Ipv4Addr) {
    let listener = server.enter(|| TcpListener::bind(("0.0.0.0", 0))).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let serving = thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("a client comes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it says something");
        stream.write_all(text.as_bytes()).expect("it listens");
        from
    });
    let target = server.at(port);
    let mut stream = client.enter(|| TcpStream::connect_timeout(&target, ARRIVES)).expect("the server is reachable");
    stream.write_all(b"hello").expect("the server reads");
    stream.shutdown(std::net::Shutdown::Write).expect("the stream is open");
    let mut echo = String::new();
    stream.read_to_string(&mut echo).expect("the server answers");
    assert_eq!(echo, "hello");
    assert_eq!(serving.join().expect("the server ends well").ip(), seen_as);
}

#[test]
fn a_gateway_lets_in_only_answers_until_both_sides_punch() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let [h1, h2, a, b] = ["h1", "h2", "a", "b"].map(|name| lab.host(name));
    let (at_a, at_b) = (udp(&a, 5000), udp(&b, 5000));
    let (at_h1, at_h2) = (udp(&h1, 5000), udp(&h2, 5000));

    send(&at_a, "ask", h1.at(5000));
    let (_, a_outside) = receive(&at_h1);
    send(&at_h2, "stranger", a_outside);
    send(&at_h1, "answer", a_outside);
    assert_eq!(receive(&at_a).0, "answer", "only who was asked gets in");
    assert!(silent(&at_a), "the stranger's packet was dropped");

    send(&at_b, "ask", h1.at(5000));
    let (_, b_outside) = receive(&at_h1);
    send(&at_a, "first punch", b_outside);
    assert!(silent(&at_b), "b has not punched yet");
    send(&at_b, "second punch", a_outside);
    assert_eq!(receive(&at_a), ("second punch".to_owned(), b_outside), "a's punch opened a's gateway");
    send(&at_a, "through", b_outside);
    assert_eq!(receive(&at_b), ("through".to_owned(), a_outside), "b's punch opened b's gateway");
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let prefix = lab.prefix().to_owned();
    assert_eq!(namespaces().filter(|name| name.starts_with(&prefix)).count(), 14);

    let place = lab.host("a").place();
    let mut announcing = place.command("sh");
    announcing.args(["-c", "echo ready; exec sleep 600"]);
    let sleeper = Running::start("sleeper", announcing);
    assert_eq!(sleeper.next_line(ARRIVES), "ready");
    let born = start_time(sleeper.pid()).expect("it runs");
    drop(lab);
    assert_eq!(namespaces().filter(|name| name.starts_with(&prefix)).count(), 0);
    let pid = sleeper.pid();
    drop(sleeper);
    assert_ne!(start_time(pid), Some(born), "the program ended");
}

#[test]
fn a_lab_clears_away_what_a_killed_run_left_and_nothing_else() {
    let Some(first) = Lab::build(Plan::default()) else { return };
    let mut ended = Command::new("true").spawn().expect("`true` exists");
    let dead_pid = ended.id();
    ended.wait().expect("it was started");
    let left = format!("wopr-lab-{dead_pid}-1-0-net");
    let added = Command::new("ip").args(["netns", "add", &left]).status().expect("`ip` built the first lab");
    assert!(added.success());

    let second = Lab::build(Plan::default()).expect("the first could be built");
    assert!(!namespaces().any(|name| name == left), "the dead run's namespace is gone");
    let prefix = first.prefix();
    assert_eq!(namespaces().filter(|name| name.starts_with(prefix)).count(), 14, "a living lab stays");
    drop(second);
}
