//! The commented example of a config file is whole and right.

use std::fs;

use cvt_sidecar::config::{Config, RawSettings};

fn example() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cvt.yaml");
    fs::read_to_string(path).expect("the example")
}

/// The example with every setting switched on: a setting starts right after its `#`.
fn switched_on() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") || !rest.starts_with([' ', '#']) => rest.to_owned(),
        _ => line.to_owned(),
    };
    example().lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn load(text: String) -> Config {
    let raw = RawSettings { file: Some(("cvt.yaml".into(), text)), ..RawSettings::default() };
    Config::load(raw).expect("a file without problems")
}

#[test]
fn the_example_lists_every_setting_with_its_variable() {
    let settings = cvt_sidecar::config::file::flatten(&switched_on()).expect("YAML");
    for known in Config::settings() {
        let below =
            |key: &str| key.strip_prefix(known.key).is_some_and(|rest| rest.starts_with('.'));
        let shown = |key: &str| key == known.key || known.map && below(key);
        assert!(settings.iter().any(|entry| shown(&entry.key)), "{} is missing", known.key);
        let named = known.environment.iter().any(|name| example().contains(&format!("[{name}]")));
        assert!(named, "{} is without its variable", known.key);
    }
    for own in cvt_sidecar::config::route::ROUTE_ONLY {
        let key = format!("routes[0].{}", own.key);
        assert!(settings.iter().any(|entry| entry.key == key), "{key} is missing");
    }
}

#[test]
fn the_example_shows_the_defaults() {
    // The other way to name the keys, which excludes the file of keys.
    let on = switched_on().replace("\n  key: \"\"\n", "\n");
    assert_ne!(on, switched_on(), "the example shows both ways to name the keys");
    let (off, on) = (load(example()), load(on));
    let shown = format!("{:?} {:?} {:?} {:?}", on.traffic, on.pipeline, on.admin, on.logging);
    let held = format!("{:?} {:?} {:?} {:?}", off.traffic, off.pipeline, off.admin, off.logging);
    assert_eq!(shown, held);
    assert_eq!(format!("{:?}", on.record), format!("{:?}", off.record));
    assert_eq!(on.storage, off.storage);
    let documents = |config: &Config| (config.documents.limit, config.documents.on_defect);
    assert_eq!(documents(&on), documents(&off));
}
