//! Against a server of a few lines, which plays one reply. A real server is in `tests/backends.rs`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use smol::block_on;
use wopr_p2p_core::AskFailed;
use wopr_p2p_core::access::{Capability, SessionName, TrustLevel};
use wopr_p2p_core::keys::PublicKey;

use super::*;
use crate::handler::{Handler, Handlers};
use crate::home::Home;

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";
const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"four\"}}]}\n\ndata: [DONE]\n\n";

/// What a server was asked.
struct Request {
    head: String,
    body: serde_json::Value,
}

/// A server for one request, which does with it as `reply` says.
fn server<T: Send + 'static>(
    reply: impl FnOnce(&mut TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<(Request, T)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = request(&mut stream).unwrap();
        let done = reply(&mut stream);
        (request, done)
    });
    (address, serving)
}

fn request(stream: impl Read) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head)?;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { head, body: serde_json::from_slice(&body)? })
}

fn chat(address: SocketAddr) -> Chat {
    Chat {
        url: format!("http://{address}/v1/").parse().unwrap(),
        model: "small".to_owned(),
        key: None,
        system: None,
        context_tokens: Chat::DEFAULT_CONTEXT_TOKENS,
    }
}

fn handlers(chat: Chat) -> Handlers {
    let mut handlers = Handlers::new(SessionReader::new(&Home::at("/no/home/of/wopr").unwrap()));
    handlers.set_default(Handler {
        timeout: Duration::from_secs(60),
        max_answer: 100,
        ..Handler::new(Backend::Chat(chat))
    });
    handlers
}

fn question() -> Question {
    Question {
        session: SessionName::new("main").unwrap(),
        text: "2 + 2?".to_owned(),
        peer: PublicKey::from_bytes([3; 32]),
        peer_name: None,
        capabilities: vec![Capability::inject()],
        trust: TrustLevel::Trusted,
        chain: "07070707070707070707070707070707:0123456789abcdef".parse().unwrap(),
    }
}

fn ask(chat: Chat) -> Result<String, HandlerError> {
    block_on(handlers(chat).ask(question()))
}

/// The fault of a server that replies with this text and closes.
fn fault(reply: &str) -> ChatFault {
    let text = reply.to_owned();
    let (address, serving) = server(move |stream| stream.write_all(text.as_bytes()).unwrap());
    let error = ask(chat(address)).unwrap_err();
    serving.join().unwrap();
    assert_eq!(AskFailed::from(&error), AskFailed::Died);
    match error {
        HandlerError::Chat { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_streamed_answer_of_an_endpoint_is_the_answer() {
    let (address, serving) = server(|stream| stream.write_all(format!("{STREAM}{ANSWER}").as_bytes()).unwrap());
    assert_eq!(ask(chat(address)).unwrap(), "four");
    let (request, ()) = serving.join().unwrap();
    assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", request.head);
    assert!(!request.head.contains("authorization"), "{}", request.head);
    assert_eq!((request.body["model"].as_str(), request.body["stream"].as_bool()), (Some("small"), Some(true)));
    let messages = request.body["messages"].as_array().unwrap();
    assert_eq!((messages[0]["role"].as_str(), messages[1]["role"].as_str()), (Some("system"), Some("user")));
    assert!(messages[1]["content"].as_str().unwrap().ends_with("\n2 + 2?"), "{messages:?}");
}

#[test]
fn an_endpoint_that_does_not_stream_answers_too() {
    let reply =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"choices\":[{\"message\":{\"content\":\"4\"}}]}";
    let (address, serving) = server(move |stream| stream.write_all(reply.as_bytes()).unwrap());
    assert_eq!(ask(chat(address)).unwrap(), "4");
    serving.join().unwrap();
}

/// What the system trusts is read once in a process, from where a variable says: so each client is a process of its own.
#[test]
fn an_https_endpoint_is_asked_if_the_system_trusts_its_certificate() {
    const ENDPOINT: &str = "WOPR_TEST_HTTPS_ENDPOINT";
    if let Ok(url) = std::env::var(ENDPOINT) {
        let url = url.parse().unwrap();
        return println!("{:?}", ask(Chat { url, ..chat(([127, 0, 0, 1], 1).into()) }));
    }
    let folder = tempfile::tempdir().unwrap();
    let ask_with = |trusted: bool| {
        let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = folder.path().join("trusted.pem");
        std::fs::write(&pem, if trusted { ours.cert.pem() } else { other.cert.pem() }).unwrap();
        let (port, serving) = tls_server(&ours);
        let client = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["an_https_endpoint_is_asked_if_the_system_trusts_its_certificate", "--nocapture"])
            .envs([(ENDPOINT, format!("https://localhost:{port}/v1/").as_ref()), ("SSL_CERT_FILE", pem.as_os_str())])
            .output()
            .unwrap();
        (String::from_utf8(client.stdout).unwrap(), serving.join().unwrap())
    };
    let (said, request) = ask_with(true);
    assert!(said.contains("Ok(\"four\")"), "{said}");
    assert_eq!(request.unwrap().body["model"], "small");
    let (said, request) = ask_with(false);
    assert!(said.contains("Err(") && said.contains("invalid peer certificate"), "{said}");
    assert!(request.is_err(), "a question went to a server that nobody vouches for");
}

/// A server for one request over TLS.
fn tls_server(with: &rcgen::CertifiedKey<rcgen::KeyPair>) -> (u16, JoinHandle<io::Result<Request>>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = with.signing_key.serialize_der().try_into().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![with.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = spawn(move || {
        let (stream, _) = listener.accept()?;
        let connection = rustls::ServerConnection::new(config.into()).map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let request = request(&mut stream)?;
        stream.write_all(format!("{STREAM}{ANSWER}").as_bytes())?;
        stream.conn.send_close_notify();
        stream.flush()?;
        Ok(request)
    });
    (port, serving)
}

#[test]
fn the_key_comes_from_a_file_that_only_its_owner_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(b"sk-123\n").unwrap();
    let (address, serving) = server(|stream| stream.write_all(format!("{STREAM}{ANSWER}").as_bytes()).unwrap());
    let with_key = Chat { key: Some(KeySource::File(path.clone())), ..chat(address) };
    assert_eq!(ask(with_key.clone()).unwrap(), "four");
    assert!(serving.join().unwrap().0.head.contains("authorization: Bearer sk-123\r\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = ask(with_key).unwrap_err().to_string();
    assert!(error.contains("chmod 600") && !error.contains("sk-123"), "{error}");
}

#[test]
fn a_key_that_is_not_there_is_named_and_nobody_is_asked() {
    let chat = Chat {
        key: Some(KeySource::Environment("WOPR_TEST_NO_SUCH_KEY".to_owned())),
        ..chat(([127, 0, 0, 1], 1).into())
    };
    let error = ask(chat).unwrap_err().to_string();
    assert!(error.contains("WOPR_TEST_NO_SUCH_KEY is not set"), "{error}");
}

#[test]
fn each_refusal_says_what_to_do() {
    for (status, more, expected) in [
        (401, "", "check the key"),
        (404, "", "\"model\""),
        (429, "retry-after: 20\r\n", "try again after 20 s"),
        (500, "", "the server's own log"),
    ] {
        let body = r#"{"error":{"message":"because \u001b[31m"}}"#;
        let said = fault(&format!("HTTP/1.1 {status} No\r\n{more}content-length: {}\r\n\r\n{body}", body.len()));
        let sentence = said.to_string();
        assert!(sentence.contains(expected) && sentence.ends_with("it said: because \u{fffd}[31m"), "{sentence}");
        assert!(matches!(said, ChatFault::Refuses { status: got, .. } if got == status), "{said:?}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let said = fault("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(said, ChatFault::Redirects("http://127.0.0.1:1/".to_owned()));
}

#[test]
fn a_page_instead_of_a_completion_is_said_to_be_one() {
    let said = fault("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>");
    assert_eq!(said, ChatFault::NoChat("its type is \"text/html\"".to_owned()));
}

#[test]
fn half_an_answer_is_none() {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"fo\"}}]}\n\n";
    assert_eq!(fault(&format!("{STREAM}{half}")), ChatFault::Cut);
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let HandlerError::Chat { fault: ChatFault::Unreachable(why), .. } = ask(chat(free)).unwrap_err() else { panic!() };
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn an_answer_that_grows_too_long_is_given_up() {
    let long = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(60)).repeat(2);
    let (address, serving) = server(move |stream| stream.write_all(format!("{STREAM}{long}").as_bytes()).unwrap());
    let error = ask(chat(address)).unwrap_err();
    serving.join().unwrap();
    assert_eq!(AskFailed::from(&error), AskFailed::AnswerTooLong);
}

#[test]
fn dropping_the_question_closes_the_connection() {
    let (began, has_begun) = smol::channel::bounded(1);
    let (address, serving) = server(move |stream| {
        stream.write_all(STREAM.as_bytes()).unwrap();
        stream.write_all(b"data: {\"choices\":[]}\n\n").unwrap();
        began.send_blocking(()).unwrap();
        // Blocks until the other side has gone.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map(|_| ()).map_err(|error| error.kind())
    });
    let asked = smol::spawn(handlers(chat(address)).ask(question()));
    block_on(has_begun.recv()).unwrap();
    block_on(asked.cancel());
    let (_, end) = serving.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(io::ErrorKind::ConnectionReset)), "{end:?}");
}
