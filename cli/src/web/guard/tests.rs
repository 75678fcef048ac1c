use axum::body::Body;

use super::*;

const OURS: &str = "127.0.0.1:7334";

fn request(method: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn verdict(method: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
    check(&request(method, headers), 7334).err().map(|(status, _)| status)
}

#[test]
fn only_our_own_names_with_our_port_are_answered() {
    for host in [OURS, "localhost:7334", "LOCALHOST:7334", "[::1]:7334"] {
        assert_eq!(verdict("GET", &[("host", host)]), None, "{host}");
    }
    for host in ["evil.example:7334", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:7334", "", "127.0.0.1:07334"]
    {
        assert_eq!(verdict("GET", &[("host", host)]), Some(StatusCode::MISDIRECTED_REQUEST), "{host}");
    }
    assert!(verdict("GET", &[]).is_some(), "no name");
    assert!(verdict("GET", &[("host", OURS), ("host", "evil.example:7334")]).is_some(), "two names");
}

#[test]
fn a_url_for_another_host_is_refused_whatever_the_host_header_says() {
    let mut request = request("GET", &[("host", OURS)]);
    *request.uri_mut() = "http://evil.example:7334/".parse().unwrap();
    assert!(check(&request, 7334).is_err());
}

#[test]
fn another_origin_is_refused_with_every_method() {
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        for origin in
            ["http://evil.example", "http://127.0.0.1:8000", "http://localhost:7334", "https://127.0.0.1:7334", "null"]
        {
            let headers = [("host", OURS), ("origin", origin)];
            assert_eq!(verdict(method, &headers), Some(StatusCode::FORBIDDEN), "{method} {origin}");
        }
        assert_eq!(verdict(method, &[("host", OURS), ("origin", "http://127.0.0.1:7334")]), None);
    }
}

#[test]
fn a_link_elsewhere_may_be_followed_and_nothing_else_comes_from_another_site() {
    let from = |site, mode, dest| {
        [("host", OURS), ("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
    };
    assert_eq!(verdict("GET", &from("none", "navigate", "document")), None, "typed");
    assert_eq!(verdict("POST", &from("same-origin", "navigate", "document")), None);
    for site in ["cross-site", "same-site"] {
        assert_eq!(verdict("GET", &from(site, "navigate", "document")), None, "a link");
        for (mode, dest) in [("navigate", "iframe"), ("no-cors", "image"), ("no-cors", "script"), ("cors", "empty")] {
            assert!(verdict("GET", &from(site, mode, dest)).is_some(), "{site} {dest}");
        }
        assert!(verdict("POST", &from(site, "navigate", "document")).is_some(), "a form elsewhere");
    }
}
