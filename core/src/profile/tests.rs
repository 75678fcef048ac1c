use std::string::String;

use super::*;

const NOW: WallTime = WallTime::from_millis(5);

#[test]
fn a_profile_is_a_json_object_in_compact_form() {
    let profile = Profile::new("{ \"name\": \"x\",\n \"7\": [1, 2] }", NOW).unwrap();
    assert_eq!(profile.content(), r#"{"7":[1,2],"name":"x"}"#);
    assert_eq!(profile.updated(), NOW);
    assert_eq!(Profile::default().content(), "{}");
}

#[test]
fn what_is_no_object_or_too_long_is_refused() {
    assert_eq!(Profile::new("name", NOW), Err(ProfileError::NotJson));
    assert_eq!(Profile::new("[1]", NOW), Err(ProfileError::NotObject));
    let fits = alloc::format!("{{\"a\":\"{}\"}}", "x".repeat(Profile::MAX_LEN - 8));
    assert_eq!(Profile::new(&fits, NOW).map(|profile| profile.content().len()), Ok(Profile::MAX_LEN));
    let long = alloc::format!("{{\"a\":\"{}\"}}", "x".repeat(Profile::MAX_LEN - 7));
    assert_eq!(Profile::new(&long, NOW), Err(ProfileError::TooLong { size: Profile::MAX_LEN + 1 }));
}

#[test]
fn a_topic_name_is_a_short_line() {
    assert_eq!("cafés".parse::<TopicName>().map(|name| name.topic()), Ok(Topic::discovery("cafés")));
    assert!("x".repeat(TopicName::MAX_LEN).parse::<TopicName>().is_ok());
    for wrong in [String::new(), "x".repeat(TopicName::MAX_LEN + 1), "a\nb".into()] {
        assert_eq!(wrong.parse::<TopicName>(), Err(TopicNameError));
    }
}
